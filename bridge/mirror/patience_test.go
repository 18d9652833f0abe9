package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/storetest"
)

// errLate is what a store says that has not answered in time.
var errLate = fmt.Errorf("%w: %w", parley.ErrOutcomeUnknown, parley.Errorf(parley.CodeUnavailable, "late"))

// slow is a store in which what is large takes too long, and every fifth call.
type slow struct {
	bridge.Fillable
	entries, bytes int // that it takes
	calls, refused int
	dead           bool
}

func (s *slow) late(large bool) error {
	s.calls++
	if large || s.dead || s.calls%5 == 0 {
		s.refused++
		return errLate
	}
	return nil
}

func (s *slow) PutEntries(ctx context.Context, entries []parley.Entry) error {
	bytes := 0
	for i := range entries {
		bytes += len(entries[i].Body)
	}
	if err := s.late(len(entries) > s.entries || len(entries) > 1 && bytes > s.bytes); err != nil {
		return err
	}
	return s.Fillable.PutEntries(ctx, entries)
}

func (s *slow) PutStreams(ctx context.Context, states []bridge.StreamState) error {
	if err := s.late(false); err != nil {
		return err
	}
	return s.Fillable.PutStreams(ctx, states)
}

func (s *slow) PutRows(ctx context.Context, rows []bridge.Row) error {
	if err := s.late(len(rows) > 3); err != nil {
		return err
	}
	return s.Fillable.PutRows(ctx, rows)
}

// slowToRead is a store of which large pages cannot be read.
type slowToRead struct {
	bridge.Portable
	calls int
}

func (s *slowToRead) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if limit > 40 {
		return nil, errLate
	}
	return s.Portable.Read(ctx, stream, after, limit)
}

func (s *slowToRead) Streams(ctx context.Context, after parley.Stream, limit int) ([]bridge.StreamState, error) {
	if s.calls++; s.calls%2 == 1 {
		return nil, errLate
	}
	return s.Portable.Streams(ctx, after, limit)
}

func (s *slowToRead) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	if s.calls++; s.calls%2 == 1 {
		return nil, errLate
	}
	return s.Portable.Rows(ctx, kind, after, limit)
}

// TestSlowStores copies from a store that is slow to read into one that takes little
// at once.
func TestSlowStores(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 60, 30)
	for name, target := range map[string]*slow{
		"few at once":        {entries: 3, bytes: 1 << 30},
		"few bytes at once":  {entries: 1 << 30, bytes: 1000},
		"all, now and then":  {entries: 1 << 30, bytes: 1 << 30},
		"one by one, always": {entries: 1, bytes: 0},
	} {
		t.Run(name, func(t *testing.T) {
			target.Fillable = fill(t, filepath.Join(t.TempDir(), "to"), from.Epoch())
			troubled := 0
			o := mirror.Options{Pause: time.Microsecond, Tell: func(p mirror.Progress) {
				if errors.Is(p.Trouble, errLate) {
					troubled++
				}
			}}
			source := &slowToRead{Portable: from}
			done, err := mirror.Copy(t.Context(), source, target, o)
			must(t, err)
			if troubled < target.refused || target.refused == 0 || done.Trouble != nil {
				t.Errorf("told %d times that it waits, refused %d times; %+v", troubled, target.refused, done)
			}
			compared, err := mirror.Compare(t.Context(), source, target, o)
			must(t, err)
			if compared.Entries != done.Entries || compared.Rows != done.Rows {
				t.Errorf("copied %+v, compared %+v", done, compared)
			}
		})
	}
}

// TestPatienceEnds copies into a store that never answers, and into one that refuses.
func TestPatienceEnds(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 5, 5)
	target := &slow{Fillable: fill(t, filepath.Join(t.TempDir(), "to"), from.Epoch()), dead: true}
	_, err := mirror.Copy(t.Context(), from, target, mirror.Options{Pause: time.Millisecond, Patience: 20 * time.Millisecond})
	if !errors.Is(err, errLate) || !mirror.Passes(err) || target.refused < 2 {
		t.Errorf("after %d tries: %v", target.refused, err)
	}
	_, err = mirror.Copy(t.Context(), from, &breaking{Fillable: target}, mirror.Options{})
	if !errors.Is(err, errBroken) || mirror.Passes(err) {
		t.Errorf("refused for good: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = mirror.Copy(ctx, from, target, mirror.Options{Tell: func(mirror.Progress) { cancel() }})
	if !errors.Is(err, errLate) {
		t.Errorf("told to end while it waits: %v", err)
	}
}
