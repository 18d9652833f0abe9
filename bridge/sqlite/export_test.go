package sqlite

import (
	"context"

	"github.com/parley-chat/parley"
)

// Hold keeps the database's writer busy until release is called, so that the
// store's files stand still between appends. What it holds back stays in the
// journal.
func (s *Store) Hold() (release func()) {
	held, done := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.do(context.Background(), 1, workFunc(func(*writer) error {
			close(held)
			<-done
			return nil
		}))
	}()
	<-held
	return func() { close(done) }
}

// Scrub reads all pages once, without a rest.
func (s *Store) Scrub(ctx context.Context) error {
	_, err := s.scrub(ctx, 0)
	return err
}

// Bound sets how many entries may be pending.
func (s *Store) Bound(entries int) {
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	s.pending.bound = entries
}

// Term returns how the index writes a word: in the table, and for SQLite.
func Term(site string, kind parley.TopicKind, word string) []string {
	term := newHasher(site, kind).add(nil, termWord, word)
	return []string{string(term), term.String()}
}
