package wire

import (
	"errors"
	"os"
	"time"
)

// moment is how long it takes to notice that a client has closed its connection.
const moment = time.Millisecond

// places are what commands take while the server works on them.
type places struct {
	desk chan struct{} // a command has one
	free chan struct{}
	turn chan struct{} // one takes its places at a time: two that have half of theirs would wait forever
}

func newPlaces(n, commands int) *places {
	return &places{desk: make(chan struct{}, commands), free: make(chan struct{}, n), turn: make(chan struct{}, 1)}
}

// batch is how many documents a command may hold.
func (p *places) batch() int { return max(1, cap(p.free)/2) }

// take waits for a desk and n places, or until done is closed. It tells whether there was
// a wait.
func (p *places) take(n int, done <-chan struct{}) (waited, ok bool) {
	select {
	case p.desk <- struct{}{}:
	default:
		waited = true
		select {
		case p.desk <- struct{}{}:
		case <-done:
			return true, false
		}
	}
	again, ok := p.takePlaces(n, done)
	if !ok {
		<-p.desk
	}
	return waited || again, ok
}

func (p *places) takePlaces(n int, done <-chan struct{}) (waited, ok bool) {
	select {
	case p.turn <- struct{}{}:
	case <-done:
		return true, false
	}
	defer func() { <-p.turn }()
	for taken := range n {
		select {
		case p.free <- struct{}{}:
			continue
		default:
		}
		waited = true
		select {
		case p.free <- struct{}{}:
		case <-done:
			p.givePlaces(taken)
			return true, false
		}
	}
	return waited, true
}

func (p *places) give(n int) {
	p.givePlaces(n)
	<-p.desk
}

func (p *places) givePlaces(n int) {
	for range n {
		<-p.free
	}
}

// cost is how many places a command takes.
func cost(cmd Command, most int) int {
	n := 1
	if cmd.Name == "update" || cmd.Name == "delete" {
		n += cmd.Documents
	}
	return min(n, most)
}

// enter waits until the server may work on the command; false when the client has not
// waited.
func (l *link) enter(cmd Command) bool {
	p := l.proxy.limit()
	if p == nil || ofDriver(cmd.Name) {
		return true
	}
	n := cost(cmd, cap(p.free))
	waited, ok := p.take(n, l.done)
	if !ok {
		return false
	}
	if waited && !l.gone.Load() && l.left() {
		p.give(n)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places, l.taken = p, n
	return true
}

// left tells whether the client has closed its connection.
func (l *link) left() bool {
	_ = l.client.SetReadDeadline(time.Now().Add(moment)) // fails only on a closed socket
	_, err := l.said.Peek(1)
	_ = l.client.SetReadDeadline(time.Time{})
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// leave gives the places to others, if some are taken.
func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken > 0 {
		l.places.give(l.taken)
		l.taken = 0
	}
}

func (l *link) working() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken > 0
}
