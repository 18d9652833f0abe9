package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func pipedConn(t *testing.T, bound time.Duration) (*conn, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	c := &conn{Conn: ours, socket: ours, intake: intakeOf(ours)}
	c.writeTime.Store(int64(bound))
	return c, theirs
}

// A client on a slow link takes longer for a big write than one bound, but never
// longer for a chunk.
func TestSlowLinkIsNotCut(t *testing.T) {
	const chunks, bound = 8, 400 * time.Millisecond
	c, theirs := pipedConn(t, bound)
	read := make(chan error, 1)
	go func() {
		buf := make([]byte, writeChunk)
		for range chunks {
			<-time.After(bound / 4) // the link
			if _, err := io.ReadFull(theirs, buf); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	if n, err := c.Write(make([]byte, chunks*writeChunk)); n != chunks*writeChunk || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// One that takes nothing is cut after a bound, and nothing is written behind the
// part of a packet that it got.
func TestStuckLinkIsCut(t *testing.T) {
	c, theirs := pipedConn(t, 20*time.Millisecond)
	half := make(chan struct{})
	go func() {
		defer close(half)
		_, _ = io.ReadFull(theirs, make([]byte, writeChunk/2))
	}()
	n, err := c.Write(make([]byte, 3*writeChunk))
	if n >= 3*writeChunk || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, errBroken) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	<-half
	if n, err := c.Write([]byte{0}); n != 0 || !errors.Is(err, errBroken) {
		t.Errorf("a broken connection takes %d more bytes, %v", n, err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %v, want the end", err)
	}
}

// A connection that is told to end does so in time, also in the middle of a big
// write to a slow reader.
func TestHurryBoundsTheWholeWrite(t *testing.T) {
	c, theirs := pipedConn(t, 10*time.Second)
	first, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, writeChunk)
		for n := 0; ; n++ {
			if _, err := io.ReadFull(theirs, buf); err != nil {
				return
			}
			if n == 0 {
				close(first)
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	go func() {
		<-first
		c.hurry(100 * time.Millisecond)
	}()
	n, err := c.Write(make([]byte, 1000*writeChunk)) // 20 s at this pace
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	<-done
}
