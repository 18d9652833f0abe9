package wire

import (
	"errors"
	"os"
	"time"
)

// moment is how long it takes to notice that a client has closed its connection.
const moment = time.Millisecond

// enter waits for a place among the commands that the server works on; false when the
// client has not waited.
func (l *link) enter() bool {
	slots := l.proxy.limit()
	if slots == nil {
		return true
	}
	select {
	case slots <- struct{}{}:
	default:
		select {
		case slots <- struct{}{}:
			if !l.gone.Load() && l.left() {
				<-slots
				return false
			}
		case <-l.done:
			return false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slot = slots
	return true
}

// left tells whether the client has closed its connection.
func (l *link) left() bool {
	_ = l.client.SetReadDeadline(time.Now().Add(moment)) // fails only on a closed socket
	_, err := l.said.Peek(1)
	_ = l.client.SetReadDeadline(time.Time{})
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// leave gives the place to somebody else, if there is one.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slot != nil {
		<-l.slot
		l.slot = nil
	}
}

func (l *link) working() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slot != nil
}
