package seal

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// attachmentTexts returns what of an attachment is sealed: what somebody called it, and
// the sum by which somebody who has the same file could tell that.
func attachmentTexts(a *parley.Attachment) map[string]*string {
	return map[string]*string{"name": &a.Name, "sum": &a.Sum}
}

func attachmentPlace(a *parley.Attachment, name string) []byte {
	return about("attachment", a.Site, a.ID, name)
}

func (k *site) sealAttachment(a *parley.Attachment, n nonce) {
	for name, text := range attachmentTexts(a) {
		*text = string(k.sealText([]byte(*text), attachmentPlace(a, name), n))
	}
}

// openAttachment opens what people wrote of an attachment. What cannot be opened is
// empty; its message has the name, too.
func (s *Store) openAttachment(a parley.Attachment) parley.Attachment {
	for name, text := range attachmentTexts(&a) {
		if !isSealed([]byte(*text)) {
			continue
		}
		k := s.knowing(a.Site, []byte(*text))
		if k == nil {
			continue // a file may be called so
		}
		plain, err := k.openText([]byte(*text), attachmentPlace(&a, name))
		if err != nil {
			s.damage("a text of an attachment", err, "site", a.Site, "attachment", a.ID)
		}
		*text = string(plain)
	}
	return a
}

// SaveAttachment writes what is known about an attachment; see bridge.Store. What is
// sealed twice differs: whether it is there already is found out from what was sealed.
func (s *Store) SaveAttachment(ctx context.Context, a parley.Attachment) error {
	k, err := s.writing(ctx, a.Site)
	if err != nil {
		return err
	}
	if k == nil {
		return s.inner.SaveAttachment(ctx, a)
	}
	sealed := a
	k.sealAttachment(&sealed, nil)
	err = s.inner.SaveAttachment(ctx, sealed)
	if !errors.Is(err, parley.ErrStale) {
		return err
	}
	there, failed := s.Attachment(ctx, a.Site, a.ID)
	if failed != nil {
		return failed
	}
	if reflect.DeepEqual(canonicalParts(there), canonicalParts(a)) {
		return nil
	}
	return err
}

// canonicalParts makes no parts the same as an empty list of them, as stores do.
func canonicalParts(a parley.Attachment) parley.Attachment {
	if len(a.Parts) == 0 {
		a.Parts = nil
	}
	return a
}

// Attachment returns an attachment; see bridge.Store.
func (s *Store) Attachment(ctx context.Context, site, id string) (parley.Attachment, error) {
	a, err := s.inner.Attachment(ctx, site, id)
	if err != nil {
		return a, err
	}
	return s.openAttachment(a), nil
}

// Attachments returns attachments; see bridge.Store.
func (s *Store) Attachments(ctx context.Context, q bridge.AttachmentQuery) ([]parley.Attachment, error) {
	list, err := s.inner.Attachments(ctx, q)
	for i := range list {
		list[i] = s.openAttachment(list[i])
	}
	return list, err
}

// DeleteAttachment removes an attachment; see bridge.Store.
func (s *Store) DeleteAttachment(ctx context.Context, site, id string) error {
	return s.inner.DeleteAttachment(ctx, site, id)
}

// sealAttachments writes the rows of a site's attachments again that are not sealed.
func (s *Store) sealAttachments(ctx context.Context, name string) error {
	q := bridge.AttachmentQuery{Site: name, Limit: bridge.MaxAppend, States: []parley.AttachmentState{
		parley.AttachmentTaking, parley.AttachmentReady, parley.AttachmentClaimed, parley.AttachmentSent, parley.AttachmentGoing,
	}}
	for {
		list, err := s.inner.Attachments(ctx, q)
		if err != nil {
			return fmt.Errorf("read attachments: %w", err)
		}
		for _, a := range list {
			q.AfterSite, q.AfterID = a.Site, a.ID
			if isSealed([]byte(a.Name)) {
				continue
			}
			a.Version++
			if err := s.SaveAttachment(ctx, a); err != nil {
				return fmt.Errorf("seal attachments: %w", err)
			}
		}
		if len(list) < q.Limit {
			return nil
		}
	}
}
