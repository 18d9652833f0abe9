package bridge

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// followerQueue is how many commits may wait to be followed. When it is full
// the store's writer waits: nothing is dropped.
const followerQueue = 1024

// follower takes every commit in order, folds it, and tells the observers.
type follower struct {
	folds     *folds
	tails     *tails
	projector *projector
	indexer   *indexer
	observers []Observer

	commits chan commit
	quit    chan struct{}
	done    sync.WaitGroup
}

// commit is what became durable at once, or a barrier to be closed when all
// before it has been followed, and the cut that it comes with.
type commit struct {
	entries []parley.Entry
	cut     *cut // or nil
	barrier chan struct{}
}

// cut is a history that was cut in the store.
type cut struct {
	stream parley.Stream
	first  int64
}

func newFollower(f *folds, t *tails, p *projector, x *indexer, observers []Observer) *follower {
	return &follower{
		folds: f, tails: t, projector: p, indexer: x, observers: observers,
		commits: make(chan commit, followerQueue), quit: make(chan struct{}),
	}
}

func (f *follower) start() { f.done.Go(f.run) }

func (f *follower) stop() {
	close(f.quit)
	f.done.Wait()
}

// offer is the store's Watch callback.
func (f *follower) offer(entries []parley.Entry) {
	select {
	case f.commits <- commit{entries: entries}:
	case <-f.quit:
	}
}

// barrier returns when everything offered before it has been followed.
func (f *follower) barrier(ctx context.Context) error { return f.await(ctx, nil) }

// cutAt returns when everybody who follows knows that the history of stream begins
// at first.
func (f *follower) cutAt(ctx context.Context, stream parley.Stream, first int64) error {
	return f.await(ctx, &cut{stream, first})
}

func (f *follower) await(ctx context.Context, c *cut) error {
	b := make(chan struct{})
	select {
	case f.commits <- commit{cut: c, barrier: b}:
	case <-f.quit:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-b:
	case <-f.quit:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (f *follower) run() {
	for {
		select {
		case <-f.quit:
			return
		case c := <-f.commits:
			if c.cut != nil {
				f.followCut(c.cut)
			}
			if c.barrier != nil {
				close(c.barrier)
				continue
			}
			f.follow(c.entries)
		}
	}
}

// follow handles one commit, stream by stream. A commit holds the entries of a
// stream in order, but not next to each other.
func (f *follower) follow(entries []parley.Entry) {
	crash.At(crash.FollowBegin)
	var notes [][]parley.Entry
	for _, run := range byStream(entries) {
		stream := run[0].Stream
		site, id, isConversation := stream.Conversation()
		switch {
		case isConversation:
			f.tails.add(run) // first: who finds the newer head in the fold reads up to it
			f.fold(site, id, run)
			f.told(run)
			continue
		case stream.Kind() == parley.TopicNotes: // whoever loses a conversation in this commit must know it first
			notes = append(notes, run)
			continue
		case stream.Kind() == parley.TopicEvents:
			f.events(run)
		}
		f.add(run)
	}
	for _, run := range notes {
		site, id, _ := run[0].Stream.NotedConversation()
		f.note(site, id, run[len(run)-1])
		f.add(run)
	}
	at := entries[len(entries)-1].At
	for _, o := range f.observers {
		o.Followed(at)
	}
	f.projector.followed(at)
	f.indexer.add(entries)
}

// add takes a run into its tail and wakes who delivers the stream.
func (f *follower) add(run []parley.Entry) {
	f.tails.add(run)
	f.told(run)
}

// told wakes who delivers the stream of a run that is in its tail.
func (f *follower) told(run []parley.Entry) {
	f.advanced(run[0].Stream, run[len(run)-1].Seq)
	crash.At(crash.AdvancedTold)
}

func (f *follower) advanced(stream parley.Stream, seq int64) {
	for _, o := range f.observers {
		o.Advanced(stream, seq)
	}
}

// fold follows the messages of a conversation. What is decided in it concerns its
// notes too.
func (f *follower) fold(site, id string, run []parley.Entry) {
	decided := slices.ContainsFunc(run, func(e parley.Entry) bool { return e.Type.Control() })
	var c, notes parley.Conversation
	done := f.insist(func(ctx context.Context) (err error) {
		if c, err = f.folds.follow(ctx, site, id, run); err != nil || !decided || run[0].Seq == 1 {
			return err // nobody has written notes about what was just opened
		}
		notes, err = f.projector.rowOfNotes(ctx, c)
		return err
	})
	if !done {
		return
	}
	crash.At(crash.Folded)
	if notes.Exists() {
		f.projector.add(c, rowOfNotes(c, notes.Head, notes.UpdatedAt))
	} else {
		f.projector.add(c)
	}
	for _, o := range f.observers {
		o.Changed(c, decided)
	}
	crash.At(crash.ChangedTold)
	if notes.Exists() {
		f.advanced(c.Notes(), notes.Head)
	}
}

// followCut forgets what is gone. From then on deliveries are read from the store.
func (f *follower) followCut(cut *cut) {
	f.tails.forget(cut.stream)
	site, id, ok := cut.stream.Conversation()
	if !ok {
		return
	}
	var c parley.Conversation
	done := f.insist(func(ctx context.Context) (err error) {
		c, err = f.folds.cut(ctx, site, id, cut.first)
		return err
	})
	if !done || !c.Exists() {
		return
	}
	f.projector.add(c)
	for _, o := range f.observers {
		o.Marked(c)
	}
}

// events projects a user's settings, and folds marks into their conversations.
func (f *follower) events(run []parley.Entry) {
	for i := range run {
		if r, ok := registerOf(&run[i]); ok {
			f.projector.set(r)
			continue
		}
		body, ok := markOf(&run[i])
		if !ok {
			continue
		}
		var c parley.Conversation
		done := f.insist(func(ctx context.Context) (err error) {
			c, err = f.folds.mark(ctx, run[i].Stream.Site(), &run[i], body)
			return err
		})
		if !done || !c.Exists() {
			continue
		}
		f.projector.add(c)
		for _, o := range f.observers {
			o.Marked(c)
		}
	}
}

// note follows the notes about a conversation up to last.
func (f *follower) note(site, id string, last parley.Entry) {
	var c parley.Conversation
	done := f.insist(func(ctx context.Context) (err error) {
		c, err = f.folds.fresh(ctx, site, id)
		return err
	})
	if !done || !c.Exists() {
		return
	}
	f.projector.add(rowOfNotes(c, last.Seq, last.At))
	for _, o := range f.observers {
		o.Noted(c)
	}
}

// insist tries again until the store can be read: going on without it would leave
// observers behind for ever. It returns false when the follower stops.
func (f *follower) insist(try func(context.Context) error) bool {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return true
		}
		select {
		case <-f.quit:
			return false
		case <-time.After(wait):
		}
	}
}

// byStream splits a commit into runs of one stream each, in order of first
// appearance.
func byStream(entries []parley.Entry) [][]parley.Entry {
	if single(entries) {
		return [][]parley.Entry{entries}
	}
	index := make(map[parley.Stream]int, len(entries))
	var runs [][]parley.Entry
	for _, e := range entries {
		i, ok := index[e.Stream]
		if !ok {
			i = len(runs)
			index[e.Stream] = i
			runs = append(runs, nil)
		}
		runs[i] = append(runs[i], e)
	}
	return runs
}

func single(entries []parley.Entry) bool {
	for i := range entries {
		if entries[i].Stream != entries[0].Stream {
			return false
		}
	}
	return true
}
