package attachment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// When attachments are looked through that nobody has asked about.
const (
	sweepEvery = time.Hour

	sweepBlobsEvery = 24 // times: it goes through all bytes that there are

	sweepTime  = 10 * time.Minute // that it may take
	sweepPage  = 200
	doubtful   = time.Minute // how long the deletion of a message may take
	retryAfter = 10 * time.Second
)

// Release makes the Keeper remove attachments that may have lost their message, soon.
// It does not block.
func (k *Keeper) Release() {
	select {
	case k.released <- struct{}{}:
	default:
	}
}

// Start begins to sweep: now, every hour and after Release.
func (k *Keeper) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	k.done.Go(func() { k.run(ctx) })
}

// Close ends what Start has begun.
func (k *Keeper) Close() {
	k.stop()
	k.done.Wait()
}

func (k *Keeper) run(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	next := sweepEvery
	for hour := 0; ; {
		sweep := k.sweepGoing
		select {
		case <-ctx.Done():
			return
		case <-k.released:
		case <-wait.C:
			if next == sweepEvery {
				sweep = k.sweepRows
				if hour%sweepBlobsEvery == 0 {
					sweep = k.Sweep
				}
				hour++
			}
		}
		next = k.sweepOnce(ctx, sweep)
		wait.Reset(next)
	}
}

// sweepOnce returns when to sweep again.
func (k *Keeper) sweepOnce(ctx context.Context, sweep func(context.Context) error) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	err := sweep(ctx)
	switch {
	case err == nil || errors.Is(ctx.Err(), context.Canceled):
		return sweepEvery
	case errors.Is(err, errDoubtful):
		return doubtful
	}
	k.Logger.Warn("attachments could not be swept", "error", err)
	return retryAfter
}

// errDoubtful says that a message is being deleted, perhaps.
var errDoubtful = errors.New("a message may be on its way")

// Sweep removes what nobody has: attachments of deleted messages, those that were
// not sent in time, and bytes of which nothing is known.
func (k *Keeper) Sweep(ctx context.Context) error {
	return errors.Join(k.sweepRows(ctx), k.sweepBlobs(ctx))
}

func (k *Keeper) sweepRows(ctx context.Context) error {
	return errors.Join(k.sweepUnsent(ctx), k.sweepGoing(ctx))
}

// each calls do for all attachments that q selects, page by page.
func (k *Keeper) each(ctx context.Context, q bridge.AttachmentQuery, do func(parley.Attachment) error) error {
	var failed error
	for q.Limit = sweepPage; ; {
		page, err := k.Rows.Attachments(ctx, q)
		if err != nil {
			return fmt.Errorf("read attachments: %w", err)
		}
		for _, a := range page {
			if err := do(a); err != nil && !errors.Is(err, parley.ErrStale) { // somebody has it in hands
				failed = errors.Join(failed, err)
			}
			q.AfterSite, q.AfterID = a.Site, a.ID
		}
		if len(page) < sweepPage {
			return failed
		}
	}
}

func (k *Keeper) sweepUnsent(ctx context.Context) error {
	q := bridge.AttachmentQuery{
		States:    []parley.AttachmentState{parley.AttachmentTaking, parley.AttachmentReady, parley.AttachmentClaimed},
		ChangedTo: k.Now().Add(-k.Keep).UnixMilli(),
	}
	return k.each(ctx, q, func(a parley.Attachment) error {
		e, err := k.Conversations.MessageOf(ctx, a)
		if err != nil {
			return err
		}
		state := parley.AttachmentGoing
		if a.Seq = e.Seq; e.Seq > 0 && !e.Redacted {
			state = parley.AttachmentSent // nobody had noted that
		}
		return k.save(ctx, k.next(a, state))
	})
}

// sweepGoing removes what is going, unless its message turns out to be there: then its
// deletion was refused, or is still on its way.
func (k *Keeper) sweepGoing(ctx context.Context) error {
	q := bridge.AttachmentQuery{States: []parley.AttachmentState{parley.AttachmentGoing}}
	return k.each(ctx, q, func(a parley.Attachment) error {
		e, err := k.Conversations.MessageOf(ctx, a)
		if err != nil {
			return err
		}
		if e.Seq == 0 || e.Redacted {
			return k.remove(ctx, a)
		}
		if k.Now().Sub(time.UnixMilli(a.ChangedAt)) < doubtful {
			return errDoubtful
		}
		a.Seq = e.Seq
		return k.save(ctx, k.next(a, parley.AttachmentSent))
	})
}

// remove removes the bytes of an attachment, also those that a crash has left, then
// what is known about it.
func (k *Keeper) remove(ctx context.Context, a parley.Attachment) error {
	if err := k.Blobs.DeleteAll(ctx, a.Blobs()); err != nil {
		return fmt.Errorf("remove attachment: %w", err)
	}
	if err := k.Rows.DeleteAttachment(ctx, a.Site, a.ID); err != nil {
		return fmt.Errorf("remove attachment: %w", err)
	}
	k.removed.Add(1)
	return nil
}

// sweepBlobs removes bytes that nothing is known about: of pieces that came twice, and
// of requests that were killed.
func (k *Keeper) sweepBlobs(ctx context.Context) error {
	return k.Blobs.List(ctx, k.Now().Add(-k.Keep), func(name string) error {
		site, rest, _ := strings.Cut(name, ".")
		id, kind, _ := strings.Cut(rest, ".")
		if site == "" || id == "" || kind == "" {
			return nil // not ours
		}
		a, err := k.Rows.Attachment(ctx, site, id)
		if err != nil {
			return fmt.Errorf("read attachment: %w", err)
		}
		if belongs(a, name) {
			return nil
		}
		return k.Blobs.Delete(ctx, name)
	})
}

// belongs reports whether a, which may be nothing, has that blob, or may be about to
// get it.
func belongs(a parley.Attachment, name string) bool {
	if a.ID == "" {
		return false
	}
	if name == a.FileBlob() || name == a.ThumbnailBlob() {
		return true
	}
	for _, p := range a.Parts {
		if name == a.PartBlob(p) {
			return true
		}
	}
	return false
}
