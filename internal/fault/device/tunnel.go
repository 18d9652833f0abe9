package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	chunkMost    = 64 << 10        // bytes of one POST of a tunnel
	chunkTime    = 5 * time.Second // in which it is answered
	chunkPause   = 100 * time.Millisecond
	chunkRepeats = 15 * time.Second // how long it is repeated
)

// TunnelClosedError is why the server has ended a tunnel: a WebSocket close code.
type TunnelClosedError struct{ Code int }

func (e *TunnelClosedError) Error() string { return fmt.Sprintf("tunnel closed with code %d", e.Code) }

// Tunnel is a connection that carries MQTT's bytes over HTTP, for where there can
// be no WebSocket. Close ends it as a lost network would. It is safe for
// concurrent use.
type Tunnel struct {
	net.Conn // the near end of a pipe; what is written waits in the upload, which is bounded

	far    net.Conn
	url    string // of this tunnel
	client *http.Client
	cancel context.CancelFunc
	upload upload
	got    int64 // bytes that came down; of who reads them
	ended  sync.WaitGroup

	mu     sync.Mutex
	reason error // why Read finds the end, if that is known
}

// DialTunnel opens a tunnel at the server with this base URL. ctx bounds the
// opening; config is that of https, nil for the usual.
func DialTunnel(ctx context.Context, base string, config *tls.Config) (*Tunnel, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableCompression: true}}
	id, err := openTunnel(ctx, client, base)
	if err != nil {
		return nil, fmt.Errorf("open tunnel: %w", err)
	}
	life, cancel := context.WithCancel(context.Background())
	opening := context.AfterFunc(ctx, cancel)
	down, err := follow(life, client, base+"/mqtt/http/"+id+"/down")
	if err == nil && !opening() {
		err = ctx.Err()
		down.Close()
	}
	if err != nil {
		cancel()
		client.CloseIdleConnections()
		return nil, fmt.Errorf("open tunnel: %w", err)
	}
	near, far := net.Pipe()
	t := &Tunnel{Conn: near, far: far, url: base + "/mqtt/http/" + id, client: client, cancel: cancel}
	t.upload.changed = sync.NewCond(&t.upload.mu)
	t.ended.Go(func() { t.end(t.receive(down)) })
	t.ended.Go(func() { t.end(t.collect()) })
	t.ended.Go(func() { t.end(t.send(life)) })
	return t, nil
}

func openTunnel(ctx context.Context, client *http.Client, base string) (id string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/mqtt/http", nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("status %d", answer.StatusCode)
	}
	var opened struct {
		Tunnel string `json:"tunnel"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&opened); err != nil {
		return "", err
	}
	return opened.Tunnel, nil
}

func follow(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	return answer.Body, nil
}

// Read reads as a net.Conn does. Where the server has said why it ended the
// tunnel, the error is a TunnelClosedError.
func (t *Tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		t.mu.Lock()
		defer t.mu.Unlock()
		err = t.reason
	}
	return n, err
}

// Close ends the tunnel and waits until nothing of it is left.
func (t *Tunnel) Close() error {
	t.end(net.ErrClosed)
	err := t.Conn.Close()
	t.ended.Wait()
	t.client.CloseIdleConnections()
	return err
}

// end ends what is under way. The first reason stands.
func (t *Tunnel) end(reason error) {
	t.mu.Lock()
	if t.reason == nil {
		t.reason = reason
	}
	t.mu.Unlock()
	t.cancel()
	t.far.Close()
	t.upload.close()
}

// collect takes what is written, so that many packets become one POST.
func (t *Tunnel) collect() error {
	buf := make([]byte, 16<<10)
	for {
		n, err := t.far.Read(buf)
		t.upload.add(buf[:n])
		if err != nil {
			return err
		}
	}
}

// send posts what was collected, one chunk after the other.
func (t *Tunnel) send(ctx context.Context) error {
	for n := 1; ; n++ {
		chunk := t.upload.take()
		if chunk == nil {
			return net.ErrClosed
		}
		if err := t.post(ctx, n, chunk); err != nil {
			return err
		}
	}
}

// post sends one chunk, again if it is not known to have arrived.
func (t *Tunnel) post(ctx context.Context, n int, chunk []byte) error {
	until := time.Now().Add(chunkRepeats)
	for {
		status, err := t.try(ctx, n, chunk)
		switch {
		case err == nil && status == http.StatusNoContent:
			return nil
		case err == nil && status < http.StatusInternalServerError && status != http.StatusTooManyRequests:
			return fmt.Errorf("chunk refused with status %d", status)
		case ctx.Err() != nil || time.Now().After(until):
			return fmt.Errorf("post chunk: status %d: %w", status, errors.Join(err, ctx.Err()))
		}
		select {
		case <-time.After(chunkPause):
		case <-ctx.Done():
		}
	}
}

func (t *Tunnel) try(ctx context.Context, n int, chunk []byte) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, chunkTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/up?n=%d", t.url, n), bytes.NewReader(chunk))
	if err != nil {
		return 0, err
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, answer.Body) // so that the connection is used again
	answer.Body.Close()
	return answer.StatusCode, nil
}

// upload holds what was written and not posted yet.
type upload struct {
	mu      sync.Mutex
	changed *sync.Cond
	bytes   []byte
	closed  bool
}

// add waits for room.
func (u *upload) add(p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.bytes) > 0 && len(u.bytes)+len(p) > chunkMost && !u.closed {
		u.changed.Wait()
	}
	u.bytes = append(u.bytes, p...)
	u.changed.Broadcast()
}

// take waits for something, and returns nil after close.
func (u *upload) take() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.bytes) == 0 && !u.closed {
		u.changed.Wait()
	}
	if u.closed {
		return nil
	}
	chunk := u.bytes
	u.bytes = nil
	u.changed.Broadcast()
	return chunk
}

func (u *upload) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.changed.Broadcast()
}
