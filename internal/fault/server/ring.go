package server

import "sync"

// ring keeps the end of what is written to it.
type ring struct {
	limit int

	mu   sync.Mutex
	kept []byte
}

func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, p...)
	if over := len(r.kept) - r.limit; over > 0 {
		r.kept = append(r.kept[:0], r.kept[over:]...)
	}
	return len(p), nil
}

func (r *ring) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.kept)
}
