package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/bridge/seal"
)

// sentFile is a file that was uploaded.
type sentFile struct {
	ID, FileURL, ThumbnailURL string
	data                      []byte
}

// fileSender is a visitor who sends files by REST.
type fileSender struct {
	*testing.T
	n     *node
	token string
	sent  int
}

func newFileSender(t *testing.T, n *node) *fileSender {
	t.Helper()
	return &fileSender{T: t, n: n, token: visit(t, n)}
}

// upload uploads a file, and does not complete it.
func (s *fileSender) upload(name string, data []byte) *sentFile {
	s.Helper()
	f := &sentFile{data: data}
	call(s.T, s.n, "POST", "/v1/conversations/cnv_1/attachments", s.token, "application/json", fmt.Sprintf(`{"name":%q,"size":%d}`, name, len(data)), http.StatusCreated, f)
	call(s.T, s.n, "PATCH", "/v1/attachments/"+f.ID, s.token, "application/octet-stream", string(data), http.StatusNoContent, nil)
	return f
}

// send uploads a file and sends it.
func (s *fileSender) send(name string, data []byte) *sentFile {
	s.Helper()
	f := s.upload(name, data)
	s.finish(f)
	return f
}

func (s *fileSender) finish(f *sentFile) {
	s.Helper()
	call(s.T, s.n, "POST", "/v1/attachments/"+f.ID+"/complete", s.token, "application/json", "", http.StatusOK, f)
	s.sent++
	message := fmt.Sprintf(`{"id":"msg_file_%04d","type":"text","body":{"text":"","attachments":[{"id":"%s"}]}}`, s.sent, f.ID)
	call(s.T, s.n, "POST", "/v1/conversations/cnv_1/messages", s.token, "application/json", message, http.StatusCreated, nil)
}

// fetch gets bytes; rng is empty or a range.
func (s *fileSender) fetch(n *node, path, rng string) (int, []byte) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+n.httpAddr.String()+path, http.NoBody)
	must(s.T, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	if rng != "" {
		r.Header.Set("Range", rng)
	}
	answer, err := http.DefaultClient.Do(r)
	must(s.T, err)
	defer answer.Body.Close()
	data, _ := io.ReadAll(answer.Body) // what is cut off is too short
	return answer.StatusCode, data
}

// expect fetches a file, whole and in parts.
func (s *fileSender) expect(n *node, f *sentFile) {
	s.Helper()
	path := "/v1/attachments/" + f.ID + "/file"
	if status, data := s.fetch(n, path, ""); status != http.StatusOK || !bytes.Equal(data, f.data) {
		s.Errorf("%s: %d, %d bytes of %d", f.ID, status, len(data), len(f.data))
	}
	for range 5 {
		from := rand.IntN(len(f.data))
		to := from + rand.IntN(len(f.data)-from)
		if status, data := s.fetch(n, path, fmt.Sprintf("bytes=%d-%d", from, to)); status != http.StatusPartialContent || !bytes.Equal(data, f.data[from:to+1]) {
			s.Errorf("%s, %d-%d: %d, %d bytes", f.ID, from, to, status, len(data))
		}
	}
}

// canaryPicture is one whose pixels, compressed or not, do not look like chance.
func canaryPicture(t *testing.T) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 800, 600))
	for i := range m.Pix {
		m.Pix[i] = byte(rand.Uint32())
	}
	for x := range 800 {
		m.SetNRGBA(x, 7, color.NRGBA{G: 200, A: 255})
	}
	var b bytes.Buffer
	must(t, png.Encode(&b, m))
	return b.Bytes()
}

// expectNowhere looks through all files of a folder for what must be in none.
func expectNowhere(t *testing.T, dir, when string, needles map[string][]byte) {
	t.Helper()
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type() == fs.ModeSocket {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for name, needle := range needles {
			if at := bytes.Index(data, needle); at >= 0 {
				t.Errorf("%s: %s is in %s at %d", when, name, path, at)
			}
		}
		return nil
	}))
	if files < 5 {
		t.Errorf("%s: only %d files", when, files)
	}
}

// TestCanaryFiles uploads files to a sealed site, and looks for them and for their names
// in everything that the server has on its disk; then it changes the keys, takes them
// away and damages a file.
func TestCanaryFiles(t *testing.T) {
	c := testConfig(t)
	plain := startNode(t, c)
	s := newFileSender(t, plain)
	before := s.send("before.txt", bytes.Repeat([]byte("it was plain before. "), 20_000))
	must(t, plain.close(t.Context()))
	c.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	keyCommandSays(t, "made ", "new")
	keyCommandSays(t, "sealed", "seal", "--site", demoSite, "--data", c.Data)

	n := startNode(t, c)
	s.n = n
	text := []byte(strings.Repeat(canaryText(1)+"\n", 20_000))
	picture := canaryPicture(t)
	files := []*sentFile{s.send(canaryMark+".txt", text), s.send(canaryMark+".png", picture)}
	half := s.upload(canaryMark+" half.txt", text)
	_, thumbnail := s.fetch(n, files[1].ThumbnailURL, "")
	if !bytes.HasPrefix(thumbnail, []byte("\xff\xd8\xff")) && !bytes.HasPrefix(thumbnail, []byte("\x89PNG")) {
		t.Fatalf("the thumbnail is %q…", thumbnail[:min(len(thumbnail), 20)])
	}
	needles := map[string][]byte{
		"the mark": []byte(canaryMark), "the picture": picture[len(picture)/2:][:40],
		"the thumbnail": thumbnail[len(thumbnail)/2:][:40], "its beginning": picture[16:40],
	}
	check := func(n *node) {
		t.Helper()
		s.expect(n, before)
		for _, f := range files {
			s.expect(n, f)
		}
		if _, got := s.fetch(n, "/v1/attachments/"+files[1].ID+"/thumbnail", ""); !bytes.Equal(got, thumbnail) {
			t.Errorf("the thumbnail has %d bytes, not %d", len(got), len(thumbnail))
		}
	}
	check(n)
	expectNowhere(t, c.Data, "while it runs", needles)
	must(t, n.close(t.Context()))
	expectNowhere(t, c.Data, "after a stop", needles)

	was, err := os.ReadFile(c.KeyFile)
	must(t, err)
	keyCommandSays(t, "wrapped", "rotate", "--new-data-keys", "--data", c.Data)
	n = startNode(t, c)
	s.n = n
	s.finish(half) // its pieces are sealed with the key of before
	files = append(files, half, s.send(canaryMark+" new.txt", text))
	check(n)
	damageBlob(t, c.Data, files[0].ID)
	if status, data := s.fetch(n, "/v1/attachments/"+files[0].ID+"/file", "bytes=0-9"); status < 400 && len(data) > 0 {
		t.Errorf("a damaged file is served: %d %q", status, data)
	}
	must(t, n.close(t.Context()))
	expectNowhere(t, c.Data, "after a rotation", needles)

	for name, keys := range map[string][]byte{"of before": was, "none": nil} {
		must(t, os.WriteFile(c.KeyFile, keys, 0o600))
		lost := c
		if keys == nil {
			lost.KeyFile = ""
		}
		n, err := openNode(context.WithoutCancel(t.Context()), lost, slog.New(slog.DiscardHandler))
		if !errors.Is(err, seal.ErrKeys) {
			t.Errorf("with keys %s it starts: %v", name, err)
		}
		if n != nil {
			must(t, n.close(t.Context()))
		}
	}
}

// damageBlob flips a bit in the beginning of a sealed file.
func damageBlob(t *testing.T, data, id string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, "attachments", "*", demoSite+"."+id+".file.sealed"))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("%s is in %v", id, found)
	}
	content, err := os.ReadFile(found[0])
	must(t, err)
	content[1000] ^= 1
	must(t, os.WriteFile(found[0], content, 0o600))
}
