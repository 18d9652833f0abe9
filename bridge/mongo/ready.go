package mongo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	readyFor  = 500 * time.Millisecond // how long an answer counts
	readySoon = 2 * time.Second        // how long the server may take
)

// readiness is the last answer of Ready.
type readiness struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

// Ready reports whether writes are possible right now: nil, or the reason. It
// writes a small document, unless it has done so a moment ago.
func (s *Store) Ready(ctx context.Context) error {
	if closed(s.closing) {
		return unavailable(errClosed)
	}
	if t := s.trouble.Load(); t != nil {
		return unavailable(fmt.Errorf("appends are unresolved: %w", *t))
	}
	r := &s.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && time.Since(r.at) < readyFor {
		return r.err
	}
	ctx, cancel := context.WithTimeout(ctx, readySoon)
	defer cancel()
	_, err := s.c.meta.UpdateOne(ctx, bson.D{field("_id", "ready")}, set(field("at", s.now().UnixMilli())), options.UpdateOne().SetUpsert(true))
	if err != nil {
		err = unavailable(fmt.Errorf("the server does not answer a write: %w", err))
	}
	r.err, r.at = err, time.Now()
	return err
}
