package broker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

var errDisk = errors.New("the disk has failed")

// fickleStore is the real store, whose writes fail or hang on command.
type fickleStore struct {
	*sqlite.Store

	mu       sync.Mutex
	append   func(ctx context.Context, entries []parley.Entry) error
	repaired chan struct{} // closed by repair while writes hang
	lost     int           // answers to lose
	cursor   error
	saved    int                 // cursors
	late     []parley.CursorSave // that were made to hang
	listed   func()
	login    error
	enter    func()     // runs before each session is opened
	tries    [][]string // ids of each try that was made to fail

	asked       atomic.Int64 // positions read
	hanging     atomic.Int64 // writes of entries that hang now
	listings    atomic.Int64 // tries to list conversations that were made to fail
	failListing atomic.Bool
	failDelete  atomic.Bool // sessions cannot be deleted
	hangCursors atomic.Bool // saves of cursors answer nothing until their time is up
}

// fail makes writes of entries fail until repair.
func (s *fickleStore) fail() {
	s.decide(func(context.Context, []parley.Entry) error { return errDisk })
}

// hang makes writes of entries wait for repair, or fail when their time is up.
func (s *fickleStore) hang() {
	repaired := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repaired = repaired
	s.append = func(ctx context.Context, _ []parley.Entry) error {
		s.hanging.Add(1)
		defer s.hanging.Add(-1)
		select {
		case <-repaired:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *fickleStore) repair() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append = nil
	if s.repaired != nil {
		close(s.repaired)
		s.repaired = nil
	}
}

func (s *fickleStore) decide(fn func(context.Context, []parley.Entry) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append = fn
}

// failCursors makes saves of cursors fail with err; nil ends it.
func (s *fickleStore) failCursors(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = err
}

// failConnects makes sessions fail to open with err; nil ends it.
func (s *fickleStore) failConnects(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = err
}

// loseAnswers makes the next n appends durable but answer that they failed.
func (s *fickleStore) loseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = n
}

// afterListing calls fn once, when conversations have been read for somebody
// who has not got them yet.
func (s *fickleStore) afterListing(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = fn
}

func (s *fickleStore) Conversations(ctx context.Context, q bridge.ConversationQuery) ([]parley.Conversation, error) {
	if s.failListing.Load() {
		s.listings.Add(1)
		return nil, errDisk
	}
	found, err := s.Store.Conversations(ctx, q)
	s.mu.Lock()
	fn := s.listed
	s.listed = nil
	s.mu.Unlock()
	if fn != nil {
		fn()
	}
	return found, err
}

// savedCursors counts the cursors that were saved.
func (s *fickleStore) savedCursors() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved
}

// lateSaves returns the cursors whose saves were made to hang.
func (s *fickleStore) lateSaves() []parley.CursorSave {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]parley.CursorSave(nil), s.late...)
}

// failedTries returns the message ids of each append that failed.
func (s *fickleStore) failedTries() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]string(nil), s.tries...)
}

func (s *fickleStore) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	s.mu.Lock()
	fail := s.append
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, entries); err != nil {
			s.mu.Lock()
			s.tries = append(s.tries, textIDs(entries))
			s.mu.Unlock()
			return nil, err
		}
	}
	answers, err := s.Store.Append(ctx, stream, entries, expect)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost > 0 {
		s.lost--
		return nil, parley.ErrOutcomeUnknown
	}
	return answers, err
}

func (s *fickleStore) Connect(ctx context.Context, device string, clean bool, expiry time.Duration) (parley.Session, error) {
	s.mu.Lock()
	err, enter := s.login, s.enter
	s.mu.Unlock()
	if enter != nil {
		enter()
	}
	if err != nil {
		return parley.Session{}, err
	}
	return s.Store.Connect(ctx, device, clean, expiry)
}

func (s *fickleStore) SaveCursors(ctx context.Context, saves []parley.CursorSave) error {
	s.mu.Lock()
	err := s.cursor
	s.mu.Unlock()
	if s.hangCursors.Load() {
		s.mu.Lock()
		s.late = append(s.late, saves...)
		s.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	err = s.Store.SaveCursors(ctx, saves)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.saved += len(saves)
	}
	return err
}

func (s *fickleStore) Cursors(ctx context.Context, device string, streams []parley.Stream) ([]parley.Cursor, error) {
	s.asked.Add(int64(len(streams)))
	return s.Store.Cursors(ctx, device, streams)
}

// onConnect calls fn before each session is opened.
func (s *fickleStore) onConnect(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter = fn
}

func (s *fickleStore) Leave(ctx context.Context, end parley.SessionEnd) error {
	if s.failDelete.Load() {
		return errDisk
	}
	return s.Store.Leave(ctx, end)
}
