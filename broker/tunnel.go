package broker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// tunnel carries the bytes of an MQTT connection over plain HTTP: down as
// server-sent events, up in numbered chunks. To everything else it is a
// connection like others, so that there is nothing about it but what is in here:
// a pipe, whose near end is the connection's. The pipe holds no bytes: who writes
// waits for who reads, as a sender waits for a slow network.
//
// It ends with its down stream. What was on its way then comes again on the next
// connection, as after every cut; what came up twice is taken once.
type tunnel struct {
	id      string
	origin  string // of the web page, as in conn
	network netip.Prefix
	far     net.Conn
	hangUp  func() // ends the connection because the server stops

	void     context.Context // ends when there is no right any more to what is on its way
	followed atomic.Bool     // the down stream has been asked for
	code     atomic.Int32    // why the connection has ended, 0 for nothing to say
	posts    atomic.Int32    // under way

	turn  chan struct{} // held by who writes to far
	taken int64         // number of the newest chunk that was taken; of who has the turn
}

const (
	chunkMost   = 64 << 10         // bytes of one POST
	postsMost   = 3                // POSTs of one tunnel at the same time: one, and its repetitions
	chunkTime   = 12 * time.Second // in which the connection takes a chunk: more than one that may wait for its own write
	farewell    = time.Second      // in which a client takes the last event
	eventStream = "text/event-stream"
)

var (
	errOutOfTurn = errors.New("chunk does not follow the last one")
	errFollowed  = errors.New("the down stream of a tunnel is read once")
)

// up takes a chunk, and returns when the connection has read it. A chunk that was
// taken before is not taken again. An error that is neither errOutOfTurn nor ctx's
// has ended the tunnel.
func (t *tunnel) up(ctx context.Context, n int64, chunk []byte) error {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-t.turn }()
	switch {
	case n <= t.taken:
		return nil
	case n > t.taken+1:
		return errOutOfTurn
	}
	_ = t.far.SetWriteDeadline(time.Now().Add(chunkTime))
	if _, err := t.far.Write(chunk); err != nil { // half of it may have been read
		_ = t.far.Close()
		return fmt.Errorf("take chunk: %w", err)
	}
	t.taken = n
	return nil
}

// follow claims the down stream.
func (t *tunnel) follow() error {
	if !t.followed.CompareAndSwap(false, true) {
		return errFollowed
	}
	return nil
}

// forsake ends a tunnel whose down stream nobody has asked for.
func (t *tunnel) forsake() {
	if !t.followed.Load() {
		_ = t.far.Close()
	}
}

// down writes what the connection writes until one of them ends. It writes
// something every beat at least.
func (t *tunnel) down(ctx context.Context, events *events, beat time.Duration) error {
	defer t.far.Close()
	defer context.AfterFunc(ctx, func() { _ = t.far.Close() })()
	context.AfterFunc(t.void, func() { cutOffDown(ctx) })
	bytes := borrow()
	defer bytes.giveBack()
	err := events.comment()
	for err == nil {
		_ = t.far.SetReadDeadline(time.Now().Add(beat))
		n, ended := t.far.Read(bytes.space[:])
		switch {
		case n > 0:
			err = events.bytes(bytes.space[:n])
		case errors.Is(ended, os.ErrDeadlineExceeded):
			err = events.comment()
		default:
			return events.goodbye(t.code.Load())
		}
	}
	return err
}

// events writes server-sent events, each of them at once.
type events struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	time time.Duration // bound of one write
	sent int64         // bytes of MQTT
}

// newEvents begins a stream. The server's own time-outs, which are for requests
// that end, hold no longer.
func newEvents(w http.ResponseWriter, writeTime time.Duration) *events {
	h := w.Header()
	h.Set("Content-Type", eventStream)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("Connection", "close")     // it may be cut off, which must not hit another request
	h.Set("X-Accel-Buffering", "no") // nginx keeps answers back otherwise
	e := &events{w: w, rc: http.NewResponseController(w), time: writeTime}
	_ = e.rc.SetReadDeadline(time.Time{}) // what cannot be set, an http.Server's, does not bind either
	return e
}

// comment shows every proxy on the way that the stream is alive.
func (e *events) comment() error { return e.write(":\n\n") }

func (e *events) bytes(p []byte) error {
	e.sent += int64(len(p))
	return e.write(fmt.Sprintf("id: %d\ndata: %s\n\n", e.sent, base64.StdEncoding.EncodeToString(p)))
}

func (e *events) goodbye(code int32) error {
	if code == 0 {
		return nil
	}
	e.time = min(e.time, farewell)
	return e.write(fmt.Sprintf("event: close\ndata: %d\n\n", code))
}

func (e *events) write(event string) error {
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.time))
	if _, err := io.WriteString(e.w, event); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := e.rc.Flush(); err != nil {
		return fmt.Errorf("flush event: %w", err)
	}
	return nil
}
