package bridge

import (
	"context"
	"sync"

	"github.com/parley-chat/parley"
)

// maxFolds bounds the conversations of one generation, of two that are kept in memory.
const maxFolds = 10_000

// catchUpPage is how many entries one read of the log brings while folding.
const catchUpPage = 500

// folds keeps the conversations in use as they are after the newest entry that
// this process has seen. It has two generations: what is in the older one and is not
// used until the next begins is forgotten; the log brings any of them back.
type folds struct {
	store     Store
	projector *projector

	mu    sync.Mutex
	young map[parley.Stream]*parley.Conversation
	older map[parley.Stream]*parley.Conversation // none of them is in young
}

func newFolds(store Store, p *projector) *folds {
	return &folds{store: store, projector: p, young: map[parley.Stream]*parley.Conversation{}}
}

func (f *folds) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.young) + len(f.older)
}

// fresh returns a conversation at some recent position. It may lack entries
// that others have just appended; a conditional append finds that out.
func (f *folds) fresh(ctx context.Context, site, id string) (parley.Conversation, error) {
	stream := parley.MessagesOf(site, id)
	f.mu.Lock()
	if c, ok := f.get(stream); ok {
		defer f.mu.Unlock()
		return *c, nil
	}
	f.mu.Unlock()

	c, err := f.load(ctx, site, id)
	if err != nil {
		return parley.Conversation{}, err
	}
	if !c.Exists() {
		return c, nil // nothing worth remembering: anyone can ask for any id
	}
	return f.merge(stream, c), nil
}

// peek is fresh for those who come by once: it keeps nothing in memory.
func (f *folds) peek(ctx context.Context, site, id string) (parley.Conversation, error) {
	f.mu.Lock()
	if c, ok := f.get(parley.MessagesOf(site, id)); ok {
		defer f.mu.Unlock()
		return *c, nil
	}
	f.mu.Unlock()
	return f.load(ctx, site, id)
}

// current returns a conversation with everything that was durable before the
// call.
func (f *folds) current(ctx context.Context, site, id string) (parley.Conversation, error) {
	if err := f.catchUp(ctx, parley.MessagesOf(site, id)); err != nil {
		return parley.Conversation{}, err
	}
	return f.fresh(ctx, site, id)
}

// load folds a conversation from its projected row and the log behind it.
func (f *folds) load(ctx context.Context, site, id string) (parley.Conversation, error) {
	c, ok := f.projector.pending(parley.MessagesOf(site, id))
	if !ok {
		var err error
		if c, err = f.store.Conversation(ctx, site, id); err != nil {
			return parley.Conversation{}, err
		}
	}
	c.Site, c.ID = site, id
	err := f.readOn(ctx, &c)
	return c, err
}

// readOn folds what the log has behind c.
func (f *folds) readOn(ctx context.Context, c *parley.Conversation) error {
	for known := c.Exists(); ; {
		entries, err := f.store.Read(ctx, c.Stream(), c.Head, catchUpPage)
		if err != nil {
			return err
		}
		for i := range entries {
			c.Apply(&entries[i])
		}
		if len(entries) < catchUpPage {
			if known || !c.Exists() {
				return nil
			}
			h, err := f.store.Head(ctx, c.Stream()) // no entry says that history was cut
			*c = c.Cut(h.First)
			return err
		}
	}
}

// catchUp reads the log behind a conversation that turned out to be stale.
func (f *folds) catchUp(ctx context.Context, stream parley.Stream) error {
	f.mu.Lock()
	held, ok := f.get(stream)
	if !ok {
		f.mu.Unlock()
		return nil // the next fresh loads it
	}
	c := *held
	f.mu.Unlock()
	if err := f.readOn(ctx, &c); err != nil {
		return err
	}
	f.merge(stream, c)
	return nil
}

// merge keeps the further of c and what is held, and returns it.
func (f *folds) merge(stream parley.Stream, c parley.Conversation) parley.Conversation {
	f.mu.Lock()
	defer f.mu.Unlock()
	if held, ok := f.get(stream); ok {
		c = held.Newest(c)
	}
	f.put(stream, &c)
	return c
}

// cut cuts the history of a conversation. It returns the zero one if that does
// not exist.
func (f *folds) cut(ctx context.Context, site, id string, first int64) (parley.Conversation, error) {
	c, err := f.fresh(ctx, site, id)
	if err != nil || !c.Exists() {
		return parley.Conversation{}, err
	}
	return f.merge(c.Stream(), c.Cut(first)), nil
}

// get returns a conversation that is held. The lock is held.
func (f *folds) get(stream parley.Stream) (*parley.Conversation, bool) {
	c, ok := f.young[stream]
	if !ok {
		if c, ok = f.older[stream]; ok {
			f.put(stream, c)
		}
	}
	return c, ok
}

// put keeps c. The lock is held.
func (f *folds) put(stream parley.Stream, c *parley.Conversation) {
	delete(f.older, stream)
	if len(f.young) >= maxFolds {
		f.turn()
	}
	f.young[stream] = c
}

// turn begins a new generation. The lock is held.
func (f *folds) turn() { f.older, f.young = f.young, map[parley.Stream]*parley.Conversation{} }

// fade forgets what has not been used since the fade before.
func (f *folds) fade() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
}

// follow applies entries that have just become durable, all of one stream and
// in order, and returns the conversation after them.
func (f *folds) follow(ctx context.Context, site, id string, entries []parley.Entry) (parley.Conversation, error) {
	stream := parley.MessagesOf(site, id)
	f.mu.Lock()
	held, ok := f.get(stream)
	if !ok && entries[0].Seq == 1 {
		held, ok = &parley.Conversation{Site: site, ID: id}, true
		f.put(stream, held)
	}
	if ok && held.Head >= entries[0].Seq-1 {
		defer f.mu.Unlock()
		for i := range entries {
			held.Apply(&entries[i])
		}
		return *held, nil
	}
	f.mu.Unlock()
	c, err := f.load(ctx, site, id)
	if err != nil {
		return parley.Conversation{}, err
	}
	return f.merge(stream, c), nil
}
