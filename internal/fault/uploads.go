package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/server"
	"github.com/parley-chat/parley/internal/nasty"
)

// Bounds of what uploads may do.
const (
	uploadGrowth = 256 << 20                     // bytes of the server's memory
	linkLife     = 5*time.Minute + 5*time.Second // that a link opens a file, and two clocks
	memoryBeat   = 50 * time.Millisecond         // between two looks at the memory
	uploadTries  = 5                             // of a server that is busy
)

// uploads sends files to the server that are not what they say, one a round, while a
// household talks, and fetches what became of them: with a link, with a link that was
// changed, and as somebody else. Nothing that runs is served to be shown, nothing gets
// out of the folder of files, and nobody gets what is another's.
func uploads(ctx context.Context, l *Lab) error {
	shelf, err := os.MkdirTemp(l.Folder, "shelf-")
	if err != nil {
		return fmt.Errorf("make a folder for uploads: %w", err)
	}
	return l.assault(ctx, server.Config{Data: filepath.Join(shelf, "data")}, func(ctx context.Context, as *assault) error {
		w := as.world
		stranger, err := w.attacker(ctx)
		if err != nil {
			return err
		}
		u := &uploader{attacker: as.attacker, stranger: stranger, conversation: parley.NewID(parley.PrefixConversation)}
		before, err := w.rss()
		if err != nil {
			return err
		}
		var most atomic.Int64
		w.standBy(ctx, func(ctx context.Context) { w.watchMemory(ctx, &most) })
		files := append(nasty.Files(), nasty.Large())
		for n := range w.Rounds {
			if err := u.try(ctx, files[(n+len(files)-1)%len(files)]); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		w.result.count("files sent", w.Rounds)
		w.result.count("refused", u.refused)
		w.result.measure("RSS grown by at most", float64(max(0, most.Load()-before))/mib, "MiB", uploadGrowth/mib)
		w.awaitAlive()
		return w.nothingOutside(shelf, files)
	})
}

// watchMemory keeps the most that the server's memory was.
func (w *world) watchMemory(ctx context.Context, most *atomic.Int64) {
	for tick := time.Tick(memoryBeat); ctx.Err() == nil; {
		if now, err := w.rss(); err == nil && now > most.Load() {
			most.Store(now)
		}
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
}

// uploader sends files, and a stranger wants them.
type uploader struct {
	*attacker
	stranger     *attacker
	conversation string
	refused      int
}

// uploaded is what the server says of a file.
type uploaded struct {
	ID, Name, Type, FileURL, ThumbnailURL string
	URLsExpireAt                          int64
}

// try sends a file, and reports what is wrong with what became of it.
func (u *uploader) try(ctx context.Context, f nasty.File) error {
	report := u.world.result
	find := func(found ...string) {
		for _, what := range found {
			report.problem("%.40q: %s", f.Name, what)
		}
	}
	var a uploaded
	begun, err := u.ask(ctx, u.token, http.MethodPost, "/v1/conversations/"+u.conversation+"/attachments", map[string]any{"name": f.Name, "size": len(f.Data)}, &a)
	if err != nil || begun.status != http.StatusCreated {
		return fmt.Errorf("begin %.40q: status %d, %w", f.Name, begun.status, err)
	}
	path := "/v1/attachments/" + a.ID
	if sent, err := u.ask(ctx, u.token, http.MethodPatch, path, f.Data, nil); err != nil || sent.status != http.StatusNoContent {
		return fmt.Errorf("send %.40q: status %d, %w", f.Name, sent.status, err)
	}
	done, err := u.complete(ctx, path, &a)
	if err != nil {
		return err
	}
	if f.Kind == "" {
		u.refused++
		if !nasty.Refused(done.status) {
			find(fmt.Sprintf("it is taken as %s, status %d", a.Type, done.status))
		}
		return u.expectNothing(ctx, u.token, path+"/file", find)
	}
	if done.status != http.StatusOK || a.Type != f.Kind {
		find(fmt.Sprintf("it is %s, not %s, status %d", a.Type, f.Kind, done.status))
		return nil
	}
	find(f.NameFindings(a.Name)...)
	return u.fetch(ctx, f, a, path, find)
}

// complete has a file examined, again while the server is busy.
func (u *uploader) complete(ctx context.Context, path string, a *uploaded) (done answer, err error) {
	for n := 0; n < uploadTries; n++ {
		if done, err = u.ask(ctx, u.token, http.MethodPost, path+"/complete", struct{}{}, a); err != nil || done.status != http.StatusServiceUnavailable {
			return done, err
		}
	}
	return done, nil
}

// fetch looks at all ways to a file that was taken, and removes it.
func (u *uploader) fetch(ctx context.Context, f nasty.File, a uploaded, path string, find func(...string)) error {
	if left := time.Until(time.UnixMilli(a.URLsExpireAt)); left > linkLife {
		find(fmt.Sprintf("its link opens it for another %s", left))
	}
	for _, link := range []string{a.FileURL, a.ThumbnailURL} {
		if link == "" {
			continue
		}
		got, err := u.ask(ctx, "", http.MethodGet, link, nil, nil)
		if err != nil {
			return err
		}
		if got.status != http.StatusOK {
			find(fmt.Sprintf("its link is answered with %d", got.status))
			continue
		}
		find(f.Findings(got.header, got.body, link == a.ThumbnailURL)...)
	}
	changed := []byte(a.FileURL)
	changed[len(changed)-2] ^= 1
	for token, way := range map[string]string{u.stranger.token: path + "/file", "": string(changed)} {
		if err := u.expectNothing(ctx, token, way, find); err != nil {
			return err
		}
	}
	if gone, err := u.ask(ctx, u.token, http.MethodDelete, path, nil, nil); err != nil || gone.status != http.StatusNoContent {
		return fmt.Errorf("remove %.40q: status %d, %w", f.Name, gone.status, err)
	}
	return u.expectNothing(ctx, "", a.FileURL, find)
}

// expectNothing asks for what there is not, or not for who asks.
func (u *uploader) expectNothing(ctx context.Context, token, path string, find func(...string)) error {
	got, err := u.ask(ctx, token, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	if got.status/100 != 4 || token != "" && got.status != http.StatusNotFound {
		find(fmt.Sprintf("where there should be nothing, status %d with %d bytes", got.status, len(got.body)))
	}
	return nil
}

// answer is what comes back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask makes one request, with bytes or JSON. A 2xx is decoded into what is given.
func (u *uploader) ask(ctx context.Context, token, method, path string, send, into any) (a answer, err error) {
	body, isBytes := send.([]byte)
	if send != nil && !isBytes {
		if body, err = json.Marshal(send); err != nil {
			return a, fmt.Errorf("encode request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, u.world.server.URL()+path, bytes.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if isBytes {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set("Upload-Offset", "0")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := patiently.Do(r)
	if err != nil {
		return a, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	if into != nil && a.status/100 == 2 {
		err = json.Unmarshal(a.body, into)
	}
	return a, err
}

// patiently waits as long as examining a file may take.
var patiently = &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ours are the files that a server makes in its folder.
var ours = regexp.MustCompile(`^(owner|[0-9a-f]{2}|incoming|ste_[A-Za-z0-9_-]+\.att_[a-z0-9]+\.(file|thumbnail|part\.[a-z0-9]+))$`)

// nothingOutside looks for what an upload has left where it should not be: beside the
// server's folder, in that of its files under another name than it gives, and in the rest
// of it under a name that somebody gave.
func (w *world) nothingOutside(shelf string, sent []nasty.File) error {
	return filepath.WalkDir(shelf, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == shelf {
			return err
		}
		rel, err := filepath.Rel(shelf, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(rel), "/")
		switch {
		case parts[0] != "data":
		case len(parts) < 3 || parts[1] != "attachments":
			if !givenName(sent, d.Name()) {
				return nil
			}
		case ours.MatchString(d.Name()):
			return nil
		}
		w.result.problem("an upload has left %s", rel)
		return nil
	})
}

// givenName reports whether a file is called as one of those that were sent.
func givenName(sent []nasty.File, name string) bool {
	return slices.ContainsFunc(sent, func(f nasty.File) bool { return filepath.Base(f.Name) == name })
}
