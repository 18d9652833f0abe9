package mongo

import (
	"context"
	"slices"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley/internal/crash"
)

// chores are what is left to do about a lane's deletes when they are decided.
type chores struct {
	blanks  []*entryDoc // durable ones whose targets are not blanked yet
	voided  []*entryDoc // those that were noted and can never land
	wait    pauses      // after a failure
	retryAt time.Time   // of the next attempt
}

func (c *chores) waiting() bool { return len(c.voided)+len(c.blanks) > 0 }

// unnoted reports whether the lane has a delete that must be noted before it is inserted.
func (l *lane) unnoted() bool { return l.staged != nil && l.staged.deletes && !l.staged.noted }

// note writes a delete down. Doing it twice is once.
func (a *appender) note(l *lane) (question, func(error)) {
	s := l.staged
	d := deleteDoc{ID: s.doc.ID, Entry: *s.doc}
	insert := func(ctx context.Context) error {
		_, err := a.store.c.deletes.InsertOne(ctx, d)
		if driver.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	}
	return func(ctx context.Context) error { return a.store.once(ctx, insert) }, func(err error) {
		if s.noted = err == nil; err != nil {
			a.store.counters.failures.Add(1)
			s.retryAt = time.Now().Add(s.wait.next())
		}
	}
}

// clean does a lane's chores. Doing them twice is once. What was read of the lane before
// counts for nothing then: nobody remembers any more that it is deleted.
func (a *appender) clean(l *lane) (question, func(error)) {
	c := &l.chores
	blanks, voided := slices.Clone(c.blanks), slices.Clone(c.voided)
	return func(ctx context.Context) error { return a.store.clean(ctx, blanks, voided) }, func(err error) {
		if err != nil {
			a.store.counters.failures.Add(1)
			c.retryAt = time.Now().Add(c.wait.next())
			return
		}
		*c = chores{}
		for _, d := range blanks {
			a.store.redactions.remove(d)
		}
		if len(l.jobs) > 0 {
			l.jobs[0].forget()
			l.facts.aimed, l.facts.target = false, nil
		}
	}
}

// clean forgets void deletes, and blanks what durable ones are about.
func (s *Store) clean(ctx context.Context, blanks, voided []*entryDoc) error {
	if len(voided) > 0 {
		if err := s.forgetDeletes(ctx, voided); err != nil {
			return err
		}
	}
	if len(blanks) == 0 {
		return nil
	}
	if err := s.blank(ctx, blanks); err != nil {
		return err
	}
	crash.At(crash.Redacted)
	return nil
}
