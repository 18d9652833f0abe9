package demo

import (
	"strings"
	"sync"
)

// news wakes everybody who waits for a change. Changes in quick succession may
// be one. The zero value is ready.
type news struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns what is closed at the next change.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

func join(list []string) string { return strings.Join(list, ",") }
