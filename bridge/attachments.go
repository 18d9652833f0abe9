package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
)

// MayAttach reports whether who may upload a file to a conversation, on all that was
// durable before the call: nil, or an *parley.Error. That is where who may write a
// message or a note now. Other errors are temporary.
func (b *Bridge) MayAttach(ctx context.Context, who parley.Identity, conversation string) error {
	c, err := b.folds.current(ctx, who.Site, conversation)
	if err != nil {
		return fmt.Errorf("read conversation: %w", err)
	}
	if _, refusal := b.admit(who, conversation, c); refusal != nil && who.MayIn(parley.ActionNote, c) != nil {
		return refusal
	}
	return nil
}

// MaySee reports whether who may have the bytes of a now: nil, or an *parley.Error,
// which is CodeNotFound. Before a message that has it is recorded that is who uploads it, and then
// everybody who may read that message, as long as it is not deleted. Other errors are
// temporary.
func (b *Bridge) MaySee(ctx context.Context, who parley.Identity, a parley.Attachment) error {
	notFound := parley.Errorf(parley.CodeNotFound, "no such attachment")
	if a.ID == "" || a.Site != who.Site {
		return notFound
	}
	if a.Message == "" && (a.Uploader != who.User || a.State == parley.AttachmentGoing) {
		return notFound
	}
	// While its message is on its way, perhaps the first of a conversation, its sender's page shows it already.
	if a.Message == "" || a.State == parley.AttachmentClaimed && a.Uploader == who.User {
		return nil
	}
	if err := b.follower.barrier(ctx); err != nil {
		return fmt.Errorf("wait for the log: %w", err)
	}
	c, err := b.folds.fresh(ctx, a.Site, a.Conversation)
	if err != nil {
		return fmt.Errorf("read conversation: %w", err)
	}
	action := parley.ActionRead
	if a.Note {
		action = parley.ActionNote
	}
	if who.MayIn(action, c) != nil {
		return notFound
	}
	if a.State != parley.AttachmentGoing {
		return nil
	}
	kept, err := b.Keeps(ctx, a)
	if err == nil && !kept {
		return notFound
	}
	return err
}

// Keeps reports whether a message that has a is in the log and not deleted. It asks
// no permission. Where the seq of the message is not known it is looked for, which
// may take a while.
func (b *Bridge) Keeps(ctx context.Context, a parley.Attachment) (bool, error) {
	e, err := b.MessageOf(ctx, a)
	return err == nil && e.Seq > 0 && !e.Redacted, err
}

// MessageOf returns the entry that has a; the zero one if there is none.
func (b *Bridge) MessageOf(ctx context.Context, a parley.Attachment) (parley.Entry, error) {
	if a.Message == "" {
		return parley.Entry{}, nil
	}
	limit := catchUpPage
	if a.Seq > 0 {
		limit = 1
	}
	for after := max(a.Seq-1, 0); ; {
		page, err := b.store.Read(ctx, a.Stream(), after, limit)
		if err != nil {
			return parley.Entry{}, fmt.Errorf("look for the message: %w", err)
		}
		for i := range page {
			if page[i].ID == a.Message && page[i].Sender == a.Uploader {
				return page[i], nil
			}
		}
		if len(page) < limit || a.Seq > 0 {
			return parley.Entry{}, nil
		}
		after = page[len(page)-1].Seq
	}
}

// attach makes the entry of a draft that lists attachments: it claims them for that
// message, and fills in what the server knows of them. The claim is durable before the
// message is, so no other can have them; one of a message that never came is undone by
// whoever sweeps attachments. A refusal is an *parley.Error. claimed are those that
// were not the message's before.
func (b *Bridge) attach(ctx context.Context, who parley.Identity, stream parley.Stream, d parley.Draft) (e parley.Entry, claimed []parley.Attachment, err error) {
	e = b.entry(who, d) // its digest is that of what was sent
	body := parley.TextBody{Text: textOf(&e)}
	for _, listed := range parley.AttachmentsOf(d.Body) {
		a, fresh, err := b.claim(ctx, who, stream, d.ID, listed.ID)
		if err != nil {
			b.unclaim(ctx, claimed)
			return e, nil, err
		}
		if fresh {
			claimed = append(claimed, a)
		}
		body.Attachments = append(body.Attachments, a.Attached())
	}
	e.Body, err = parley.EncodeBody(body)
	return e, claimed, err
}

// claim makes an attachment that of a message. fresh is false where it was that
// before.
func (b *Bridge) claim(ctx context.Context, who parley.Identity, stream parley.Stream, message, id string) (a parley.Attachment, fresh bool, err error) {
	for range maxDecisions {
		a, err := b.store.Attachment(ctx, who.Site, id)
		if err != nil {
			return a, false, fmt.Errorf("read attachment: %w", err)
		}
		if refusal := refuseClaim(who, stream, message, id, a); refusal != nil {
			return a, false, refusal
		}
		fresh = a.Message == ""
		if !fresh && a.State != parley.AttachmentClaimed {
			return a, false, nil
		}
		// Also what the message has already is claimed anew, with a version of its own: who gives it back or
		// sweeps it, because the message was refused elsewhere or has not come for a day, is too late then.
		a.Message, a.Note = message, stream.Kind() == parley.TopicNotes
		err = b.moveAttachment(ctx, &a, parley.AttachmentClaimed)
		if !errors.Is(err, parley.ErrStale) {
			return a, fresh, err
		}
	}
	return a, false, parley.Errorf(parley.CodeUnavailable, "the attachment %s is changing too fast; send again", id)
}

// refuseClaim returns why the message cannot have the attachment, or nil.
func refuseClaim(who parley.Identity, stream parley.Stream, message, id string, a parley.Attachment) *parley.Error {
	_, conversation, kind := stream.About()
	switch {
	case a.Uploader != who.User || a.Conversation != conversation || a.State == parley.AttachmentGoing:
		return parley.Errorf(parley.CodeNotFound, "there is no attachment %s of yours for this conversation; upload it again", id)
	case a.State == parley.AttachmentTaking:
		return parley.Errorf(parley.CodeInvalid, "the upload of the attachment %s is not complete", id)
	case a.Message != "" && (a.Message != message || a.Note != (kind == parley.TopicNotes)):
		return parley.Errorf(parley.CodeConflict, "another message has the attachment %s; upload it again", id)
	}
	return nil
}

// moveAttachment writes the next version of a, in another state.
func (b *Bridge) moveAttachment(ctx context.Context, a *parley.Attachment, to parley.AttachmentState) error {
	a.State, a.Version, a.ChangedAt = to, a.Version+1, b.now().UnixMilli()
	return b.store.SaveAttachment(ctx, *a)
}

// unclaim gives attachments of a message that was refused back to their sender. What
// fails is swept later.
func (b *Bridge) unclaim(ctx context.Context, claimed []parley.Attachment) {
	for _, a := range claimed {
		a.Message, a.Note = "", false
		if err := b.moveAttachment(ctx, &a, parley.AttachmentReady); err != nil {
			b.log.Debug("attachment stays claimed", "attachment", a.ID, "error", err)
		}
	}
}

// settleAttachments notes that attachments belong to the message e, which is durable. What fails
// is found out when attachments are swept.
func (b *Bridge) settleAttachments(ctx context.Context, e *parley.Entry) {
	for _, listed := range parley.AttachmentsOf(e.Body) {
		a, err := b.store.Attachment(ctx, e.Stream.Site(), listed.ID)
		if err == nil && a.State == parley.AttachmentClaimed && a.Message == e.ID {
			a.Seq = e.Seq
			err = b.moveAttachment(ctx, &a, parley.AttachmentSent)
		}
		if err != nil {
			b.log.Debug("attachment stays claimed", "attachment", listed.ID, "error", err)
		}
	}
}

// recordAttached records one draft that lists attachments, in messages or notes. What
// it says of them is decided before what its sender may do: that is decided again and
// again.
func (b *Bridge) recordAttached(ctx context.Context, who parley.Identity, stream parley.Stream, d parley.Draft, record func(parley.Entry) (parley.Appended, error)) (parley.Appended, error) {
	e, claimed, err := b.attach(ctx, who, stream, d)
	var refusal *parley.Error
	if errors.As(err, &refusal) && !refusal.Code.Retry() {
		return b.refuseAttached(ctx, who, stream, b.entry(who, d), refusal)
	}
	if err != nil {
		return parley.Appended{}, err
	}
	answer, err := record(e)
	switch {
	case err != nil: // it may be stored, or come again
	case answer.Err != nil:
		b.unclaim(ctx, claimed)
	default:
		b.settleAttachments(ctx, &answer.Entry)
	}
	return answer, err
}

// refuseAttached refuses a draft because of what it lists, unless it is there: its
// attachments may have gone since, with the message.
func (b *Bridge) refuseAttached(ctx context.Context, who parley.Identity, stream parley.Stream, e parley.Entry, refusal *parley.Error) (parley.Appended, error) {
	_, conversation, kind := stream.About()
	c, err := b.folds.current(ctx, who.Site, conversation)
	if err != nil {
		return parley.Appended{}, fmt.Errorf("read conversation: %w", err)
	}
	if kind == parley.TopicNotes {
		return one(b.refuseNotes(ctx, c, []parley.Entry{e}, refusal))
	}
	if c.Exists() && who.MayIn(parley.ActionRead, c) != nil { // whoever may not write here learns that first
		refusal = parley.ErrorOf(who.MayIn(parley.ActionRead, c))
	}
	return one(b.refuseAll(ctx, c, []parley.Entry{e}, refusal))
}

// doom notes that the attachments of a message are going, before the message is
// deleted: a crash in between leaves neither bytes of what is deleted, nor a message
// without its files. Whoever sweeps them looks at the message.
func (b *Bridge) doom(ctx context.Context, message *parley.Entry) error {
	for _, listed := range parley.AttachmentsOf(message.Body) {
		if err := b.doomOne(ctx, message, listed.ID); err != nil {
			return fmt.Errorf("note what is deleted with the message: %w", err)
		}
	}
	return nil
}

func (b *Bridge) doomOne(ctx context.Context, message *parley.Entry, id string) error {
	for range maxDecisions {
		a, err := b.store.Attachment(ctx, message.Stream.Site(), id)
		if err != nil || a.Message != message.ID || a.State == parley.AttachmentGoing {
			return err
		}
		a.Seq = message.Seq
		if err := b.moveAttachment(ctx, &a, parley.AttachmentGoing); !errors.Is(err, parley.ErrStale) {
			return err
		}
	}
	return parley.Errorf(parley.CodeUnavailable, "an attachment is changing too fast; send again")
}

// doomBefore is doom for all messages of a stream that are before a cut.
func (b *Bridge) doomBefore(ctx context.Context, stream parley.Stream, first int64) error {
	site, conversation, kind := stream.About()
	all, err := b.store.Attachments(ctx, AttachmentQuery{Site: site, Conversation: conversation, States: []parley.AttachmentState{parley.AttachmentSent}})
	if err != nil {
		return fmt.Errorf("read attachments: %w", err)
	}
	for _, a := range all {
		if a.Seq >= first || a.Note != (kind == parley.TopicNotes) {
			continue
		}
		if err := b.doomOne(ctx, &parley.Entry{Stream: stream, ID: a.Message, Seq: a.Seq}, a.ID); err != nil {
			return fmt.Errorf("note what is cut: %w", err)
		}
	}
	return nil
}
