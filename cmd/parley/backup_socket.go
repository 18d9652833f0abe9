package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/internal/clock"
)

// backupSocket is the file in the data folder by which a running server gives
// backups. Only whoever may read the folder can connect; no other process can open
// the store meanwhile.
const backupSocket = "backup.sock"

// maxSocketPath is how long the path of a socket may be on every system.
const maxSocketPath = 100

// socketPath returns a path of the folder's socket that is short enough, and what ends
// its use.
func socketPath(folder string) (path string, release func(), err error) {
	path = filepath.Join(folder, backupSocket)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(folder)
	if err != nil {
		return "", nil, err
	}
	path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), backupSocket)
	return path, func() { _ = dir.Close() }, nil
}

// serveBackups gives backups of an embedded store. A server that cannot still serves.
func (n *node) serveBackups(ctx context.Context) error {
	at, err := n.config.location()
	if err != nil || at.folder == "" {
		return err
	}
	source, ok := n.store.(backupStore)
	if !ok {
		return nil
	}
	l, err := listenForBackups(ctx, at.folder)
	if err != nil {
		n.log.Warn("backups cannot be made while the server runs", "error", err)
		return nil
	}
	server := &http.Server{Handler: backupHandler(source, n.blobs), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Warn("backups cannot be made any more while the server runs", "error", err)
		}
	}()
	n.onClose("backups", func(context.Context) error {
		err := server.Close() // a backup that is being made is broken off, and says so
		<-ended
		return err
	})
	return nil
}

func listenForBackups(ctx context.Context, folder string) (net.Listener, error) {
	path, release, err := socketPath(folder)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a server that was killed: the folder is ours
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // its path may not be valid any more
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socketListener{l, filepath.Join(folder, backupSocket)}, nil
}

// socketListener removes its file when it is closed.
type socketListener struct {
	net.Listener
	path string
}

func (l *socketListener) Close() error {
	err := l.Listener.Close()
	_ = os.Remove(l.path) // the next server does it otherwise
	return err
}

// restBeside makes a backup take a quarter of a core at most, so that deliveries take
// little longer meanwhile.
const restBeside = 3

func backupHandler(source backupStore, files blobs) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		o := backup.Options{Parley: versionText(), Store: "sqlite", Now: clock.Now, Rest: restBeside, Damaged: damagedBlob}
		if files != nil && r.URL.Query().Get("files") != "off" {
			o.Blobs = files
		}
		_, _ = backup.Write(r.Context(), source, w, o) // whoever reads it sees its end, or none
	})
	mux.HandleFunc("GET /tombstones", func(w http.ResponseWriter, r *http.Request) {
		since, _ := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
		lines, begun := json.NewEncoder(w), false
		err := backup.Collect(r.Context(), source, since, func(t backup.Tombstone) error {
			begun = true
			return lines.Encode(t)
		})
		switch {
		case err == nil:
		case begun:
			panic(http.ErrAbortHandler) // so that it is not taken for the end
		default:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /epoch", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, source.Epoch()) })
	return mux
}

// liveStore is the store of a server that runs.
type liveStore struct {
	folder string
	client *http.Client
	epoch  string
	files  string // "off" leaves them out
}

// dialLive connects to the server that has a folder open; nil if there is none.
func dialLive(ctx context.Context, folder string) (*liveStore, error) {
	path, release, err := socketPath(folder)
	if err != nil {
		return nil, nil //nolint:nilerr // no folder, no server
	}
	defer release()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, ctx.Err()
	}
	_ = conn.Close()
	s := &liveStore{folder: folder, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, release, err := socketPath(folder)
			if err != nil {
				return nil, err
			}
			defer release()
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
	epoch, err := s.get(ctx, "/epoch", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = epoch.Close() }()
	text, err := io.ReadAll(io.LimitReader(epoch, 256))
	s.epoch = string(text)
	return s, err
}

func (s *liveStore) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the server that runs on %s: %w", s.folder, err)
	}
	if answer.StatusCode == http.StatusServiceUnavailable {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // what has come of it
		_ = answer.Body.Close()
		return nil, fmt.Errorf("the server that runs on %s cannot: %s", s.folder, strings.TrimSpace(string(why)))
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("the server that runs on %s does not make backups (%s)", s.folder, answer.Status)
	}
	return answer.Body, nil
}

func (s *liveStore) Epoch() string { return s.epoch }

func (s *liveStore) write(ctx context.Context, w io.Writer) error {
	body, err := s.get(ctx, "/backup", url.Values{"files": {s.files}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	_, err = io.Copy(w, body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errServerStopped
	}
	return err
}

var errServerStopped = errors.New("the server stopped in the middle of it, begin again")

func (s *liveStore) tombstones(ctx context.Context, since int64, tell func(backup.Tombstone) error) error {
	body, err := s.get(ctx, "/tombstones", url.Values{"since": {strconv.FormatInt(since, 10)}})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := json.NewDecoder(bufio.NewReader(body))
	for {
		var t backup.Tombstone
		err := lines.Decode(&t)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errServerStopped
		case err != nil:
			return err
		}
		if err := tell(t); err != nil {
			return err
		}
	}
}

func (s *liveStore) Close() error { return nil }
