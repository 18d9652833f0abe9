package mongo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// attachmentDoc is what is known about an attachment. The members beside value are
// those of it that are asked for.
type attachmentDoc struct {
	ID           string `bson:"_id"` // site and id
	Site         string `bson:"site"`
	Conversation string `bson:"conversation"`
	Uploader     string `bson:"uploader"`
	State        string `bson:"state"`
	Changed      int64  `bson:"changed"`
	Version      int64  `bson:"version"`
	Value        []byte `bson:"value"` // JSON
}

func attachmentDocOf(a *parley.Attachment) (attachmentDoc, error) {
	value, err := parley.EncodeBody(a)
	return attachmentDoc{
		ID: key(a.Site, a.ID), Site: a.Site, Conversation: a.Conversation, Uploader: a.Uploader,
		State: string(a.State), Changed: a.ChangedAt, Version: a.Version, Value: value,
	}, err
}

func (d *attachmentDoc) attachment() (a parley.Attachment, err error) {
	err = json.Unmarshal(d.Value, &a)
	return a, err
}

// SaveAttachment writes what is known about an attachment; see bridge.Store. The
// version makes a write that hangs harmless, and that of a server which loses
// comparisons is made one at a time.
func (s *Store) SaveAttachment(ctx context.Context, a parley.Attachment) error {
	if a.Site == "" {
		return fmt.Errorf("save attachment: %w", errEmptySite)
	}
	d, err := attachmentDocOf(&a)
	if err != nil {
		return fmt.Errorf("save attachment: %w", err)
	}
	defer s.stripes.lock(d.ID)()
	stale := false
	err = s.retry(ctx, "save attachment", func(ctx context.Context) error {
		s.counters.writes.Add(1)
		done, err := s.tryAttachment(ctx, &d)
		if err != nil || done {
			return err
		}
		there, err := findIn[attachmentDoc](ctx, s.c.attachments, bson.D{field("_id", d.ID)})
		stale = len(there) == 0 || there[0].Version != d.Version || !bytes.Equal(there[0].Value, d.Value)
		return err
	})
	if err == nil && stale {
		return fmt.Errorf("save attachment: %w", parley.ErrStale)
	}
	return err
}

// tryAttachment writes d where its version is the next one. done is false where it
// is not, or where an attempt before has done it.
func (s *Store) tryAttachment(ctx context.Context, d *attachmentDoc) (done bool, err error) {
	if d.Version == 1 {
		_, err = s.c.attachments.InsertOne(ctx, d)
		if driver.IsDuplicateKeyError(err) {
			return false, nil
		}
		return err == nil, err
	}
	r, err := s.c.attachments.UpdateOne(ctx, bson.D{field("_id", d.ID), field("version", d.Version-1)},
		set(field("state", d.State), field("changed", d.Changed), field("version", d.Version), field("value", d.Value)))
	return err == nil && r.MatchedCount > 0, err
}

// Attachment returns an attachment; see bridge.Store.
func (s *Store) Attachment(ctx context.Context, site, id string) (a parley.Attachment, err error) {
	if site == "" {
		return a, fmt.Errorf("read attachment: %w", errEmptySite)
	}
	d, err := one[attachmentDoc](ctx, s, s.c.attachments, bson.D{field("_id", key(site, id))})
	if err != nil || d == nil {
		return a, err
	}
	return d.attachment()
}

// Attachments returns attachments; see bridge.Store.
func (s *Store) Attachments(ctx context.Context, q bridge.AttachmentQuery) ([]parley.Attachment, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	filter := bson.D{field("state", bson.D{{Key: "$in", Value: q.States}})}
	for _, part := range []struct{ name, value string }{{"site", q.Site}, {"uploader", q.Uploader}, {"conversation", q.Conversation}} {
		if part.value != "" {
			filter = append(filter, field(part.name, part.value))
		}
	}
	if q.ChangedTo != 0 {
		filter = append(filter, field("changed", bson.D{{Key: "$lte", Value: q.ChangedTo}}))
	}
	if q.AfterID != "" {
		filter = append(filter, field("_id", bson.D{{Key: "$gt", Value: key(q.AfterSite, q.AfterID)}}))
	}
	docs, err := find[attachmentDoc](ctx, s, s.c.attachments, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(q.Limit)))
	if err != nil {
		return nil, err
	}
	list := make([]parley.Attachment, len(docs))
	for i := range docs {
		if list[i], err = docs[i].attachment(); err != nil {
			return nil, fmt.Errorf("read attachments: %w", err)
		}
	}
	return list, nil
}

// DeleteAttachment removes an attachment; see bridge.Store.
func (s *Store) DeleteAttachment(ctx context.Context, site, id string) error {
	if site == "" {
		return fmt.Errorf("delete attachment: %w", errEmptySite)
	}
	defer s.stripes.lock(key(site, id))()
	return s.retry(ctx, "delete attachment", func(ctx context.Context) error {
		s.counters.writes.Add(1)
		_, err := s.c.attachments.DeleteOne(ctx, bson.D{field("_id", key(site, id))})
		return err
	})
}

// listAttachments and putAttachments are how they are copied to another store.
func (s *Store) listAttachments(ctx context.Context, after string, limit int) ([]bridge.Row, error) {
	docs, err := find[attachmentDoc](ctx, s, s.c.attachments, behind(after), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	rows := make([]bridge.Row, len(docs))
	for i := range docs {
		a, err := docs[i].attachment()
		if err != nil {
			return nil, errUndecodable
		}
		if rows[i], err = rowOf(a, a.Site, a.ID); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (s *Store) putAttachments(ctx context.Context, values []json.RawMessage) error {
	models := make([]driver.WriteModel, len(values))
	for i, raw := range values {
		var a parley.Attachment
		if err := json.Unmarshal(raw, &a); err != nil {
			return errUndecodable
		}
		d, err := attachmentDocOf(&a)
		if err != nil {
			return err
		}
		models[i] = driver.NewReplaceOneModel().SetFilter(bson.D{field("_id", d.ID)}).SetReplacement(d).SetUpsert(true)
	}
	return s.bulk(ctx, s.c.attachments, models)
}
