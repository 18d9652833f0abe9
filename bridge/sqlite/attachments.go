package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

const (
	insertAttachment = `INSERT INTO attachments (site, id, conversation, uploader, state, changed_at, version, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	updateAttachment = `UPDATE attachments SET state = ?, changed_at = ?, version = ?, value = ? WHERE site = ? AND id = ?`
)

// SaveAttachment writes what is known about an attachment; see bridge.Store.
func (s *Store) SaveAttachment(ctx context.Context, a parley.Attachment) error {
	if a.Site == "" {
		return fmt.Errorf("save attachment: %w", errEmptySite)
	}
	value, err := parley.EncodeBody(a)
	if err != nil {
		return fmt.Errorf("save attachment: %w", err)
	}
	stale := false
	err = s.do(ctx, 1, workFunc(func(w *writer) (err error) {
		stale, err = w.saveAttachment(&a, value)
		return err
	}))
	if err == nil && stale {
		err = parley.ErrStale
	}
	if err != nil {
		return fmt.Errorf("save attachment: %w", err)
	}
	return nil
}

func (w *writer) saveAttachment(a *parley.Attachment, value []byte) (stale bool, err error) {
	var version int64
	var there []byte
	found, err := w.find(`SELECT version, value FROM attachments WHERE site = ? AND id = ?`, []any{a.Site, a.ID}, &version, &there)
	switch {
	case err != nil:
		return false, err
	case found && version == a.Version && bytes.Equal(there, value):
		return false, nil
	case version != a.Version-1:
		return true, nil
	case found:
		_, err = w.exec(updateAttachment, string(a.State), a.ChangedAt, a.Version, value, a.Site, a.ID)
		return false, err
	}
	_, err = w.exec(insertAttachment, a.Site, a.ID, a.Conversation, a.Uploader, string(a.State), a.ChangedAt, a.Version, value)
	return false, err
}

// Attachment returns an attachment; see bridge.Store.
func (s *Store) Attachment(ctx context.Context, site, id string) (a parley.Attachment, err error) {
	if site == "" {
		return a, fmt.Errorf("read attachment: %w", errEmptySite)
	}
	err = s.query(ctx, "read attachment", `SELECT value FROM attachments WHERE site = ? AND id = ?`, []any{site, id}, func(rows *sql.Rows) error {
		return scanAttachment(rows, &a)
	})
	return a, err
}

// Attachments returns attachments; see bridge.Store.
func (s *Store) Attachments(ctx context.Context, q bridge.AttachmentQuery) (list []parley.Attachment, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	where, args := []string{`state IN (?` + strings.Repeat(`, ?`, len(q.States)-1) + `)`}, []any{}
	for _, state := range q.States {
		args = append(args, string(state))
	}
	restrict := func(given bool, condition string, values ...any) {
		if given {
			where, args = append(where, condition), append(args, values...)
		}
	}
	restrict(q.Site != "", `site = ?`, q.Site)
	restrict(q.Uploader != "", `uploader = ?`, q.Uploader)
	restrict(q.Conversation != "", `conversation = ?`, q.Conversation)
	restrict(q.ChangedTo != 0, `changed_at <= ?`, q.ChangedTo)
	restrict(q.AfterID != "", `(site, id) > (?, ?)`, q.AfterSite, q.AfterID)
	limit := q.Limit
	if limit == 0 {
		limit = -1
	}
	query := `SELECT value FROM attachments WHERE ` + strings.Join(where, ` AND `) + ` ORDER BY site, id LIMIT ?`
	err = s.query(ctx, "list attachments", query, append(args, limit), func(rows *sql.Rows) error {
		var a parley.Attachment
		err := scanAttachment(rows, &a)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// DeleteAttachment removes an attachment; see bridge.Store. Its name goes from the
// files as the text of deleted messages does.
func (s *Store) DeleteAttachment(ctx context.Context, site, id string) error {
	if site == "" {
		return fmt.Errorf("delete attachment: %w", errEmptySite)
	}
	err := s.do(ctx, 1, workFunc(func(w *writer) error {
		if _, err := w.exec(`DELETE FROM attachments WHERE site = ? AND id = ?`, site, id); err != nil {
			return err
		}
		w.purging.due(s.purgeAfter)
		_, err := w.exec(setMeta, metaPurge, 1)
		return err
	}))
	if err != nil {
		return fmt.Errorf("delete attachment: %w", err)
	}
	return nil
}

func scanAttachment(rows *sql.Rows, a *parley.Attachment) error {
	var value []byte
	if err := rows.Scan(&value); err != nil {
		return err
	}
	return json.Unmarshal(value, a)
}

func scanAttachmentRow(rows *sql.Rows) ([]string, any, error) {
	var a parley.Attachment
	err := scanAttachment(rows, &a)
	return []string{a.Site, a.ID}, a, err
}

// putAttachment stores an attachment of another store, whatever is there.
func putAttachment(w *writer, a *parley.Attachment) error {
	value, err := parley.EncodeBody(a)
	if err != nil {
		return err
	}
	if _, err := w.exec(`DELETE FROM attachments WHERE site = ? AND id = ?`, a.Site, a.ID); err != nil {
		return err
	}
	_, err = w.exec(insertAttachment, a.Site, a.ID, a.Conversation, a.Uploader, string(a.State), a.ChangedAt, a.Version, []byte(value))
	return err
}
