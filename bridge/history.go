package bridge

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
)

// Limits of one page of history.
const (
	DefaultPageLimit = 50
	MaxPageLimit     = 200
)

// History returns a page of the messages of a conversation, or of its internal
// notes, with everything that was acknowledged before the call. It ends where the
// right to read was checked, and begins where history does.
func (b *Bridge) History(ctx context.Context, who parley.Identity, conversation string, q parley.HistoryQuery) (parley.HistoryPage, error) {
	stream, page, err := b.readable(ctx, who, conversation, q.Notes)
	if err != nil {
		return parley.HistoryPage{}, err
	}
	from, to, err := b.window(ctx, stream, page, q)
	if err != nil || from > to {
		return page, err
	}
	if page.Entries, err = b.store.Read(ctx, stream, from-1, int(to-from+1)); err != nil {
		return parley.HistoryPage{}, fmt.Errorf("read %s: %w", stream, err)
	}
	if page.Amendments, err = b.store.Amendments(ctx, stream, from, to, page.Head); err != nil {
		return parley.HistoryPage{}, fmt.Errorf("read edits: %w", err)
	}
	return page, nil
}

// readable returns what of a conversation who may read, as an empty page.
func (b *Bridge) readable(ctx context.Context, who parley.Identity, conversation string, notes bool) (parley.Stream, parley.HistoryPage, error) {
	var head parley.Head
	stream := parley.NotesOf(who.Site, conversation)
	if notes { // first: what is there before the right is checked may be read
		var err error
		if head, err = b.store.Head(ctx, stream); err != nil {
			return "", parley.HistoryPage{}, fmt.Errorf("read head: %w", err)
		}
	}
	c, err := b.Conversation(ctx, who, conversation)
	if err != nil {
		return "", parley.HistoryPage{}, err
	}
	if !notes {
		stream, head = c.Stream(), parley.Head{Seq: c.Head, First: c.First}
	} else if err := who.MayIn(parley.ActionNote, c); err != nil {
		return "", parley.HistoryPage{}, err
	}
	return stream, parley.HistoryPage{Head: head.Seq, First: max(head.First, min(head.Seq, 1))}, nil
}

// window returns the first and the last seq of the page that q asks for; the last
// is lower where that is empty.
func (b *Bridge) window(ctx context.Context, stream parley.Stream, page parley.HistoryPage, q parley.HistoryQuery) (from, to int64, err error) {
	limit := int64(clamp(q.Limit, DefaultPageLimit, MaxPageLimit))
	at := min(max(q.Value, 0), page.Head+1) // there is nothing beyond
	switch q.From {
	case parley.HistoryAfter:
		from = max(at+1, page.First)
	case parley.HistoryBefore:
		return max(at-limit, page.First), at - 1, nil
	case parley.HistoryAround:
		from = max(min(at-limit/2, page.Head-limit+1), page.First)
	case parley.HistoryAt:
		if from, err = b.seqAt(ctx, stream, page, q.Value); err != nil {
			return 0, 0, err
		}
	default:
		from = max(page.Head-limit+1, page.First)
	}
	return from, min(from+limit-1, page.Head), nil
}

// seqAt returns the seq of the first entry with a server time of at or later, one
// beyond the head if there is none. It looks at as many entries as the length of
// the history has binary digits. Times fall only where several nodes write whose
// clocks differ; then it returns one that is later than the entry before it.
func (b *Bridge) seqAt(ctx context.Context, stream parley.Stream, page parley.HistoryPage, at int64) (int64, error) {
	low, high := page.First, page.Head+1
	for low < high {
		middle := low + (high-low)/2
		entries, err := b.store.Read(ctx, stream, middle-1, 1)
		if err != nil {
			return 0, fmt.Errorf("look for a time: %w", err)
		}
		if len(entries) > 0 && entries[0].At < at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// CutHistory makes the history of a conversation's messages, or notes, begin at
// first, and returns where it begins now; see Store.Cut. When it returns, no cache
// holds any more what was before. It asks no permission. An error leaves the
// outcome open: call it again.
func (b *Bridge) CutHistory(ctx context.Context, stream parley.Stream, first int64) (int64, error) {
	if kind := stream.Kind(); kind != parley.TopicMessages && kind != parley.TopicNotes {
		return 0, parley.Errorf(parley.CodeInvalid, "only messages and notes have a history that can be cut")
	}
	if err := b.doomBefore(ctx, stream, first); err != nil {
		return 0, err
	}
	first, err := b.store.Cut(ctx, stream, first)
	if err != nil {
		return 0, err
	}
	if err := b.follower.cutAt(ctx, stream, first); err != nil {
		return 0, fmt.Errorf("tell of the cut: %w", err)
	}
	b.released()
	return first, nil
}
