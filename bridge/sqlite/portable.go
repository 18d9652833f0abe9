package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Portable = (*Store)(nil)

// Streams returns the streams that have entries; see bridge.Portable.
func (s *Store) Streams(ctx context.Context, after parley.Stream, limit int) ([]bridge.StreamState, error) {
	if err := s.settle(ctx); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	var list []bridge.StreamState
	err := s.query(ctx, "list streams", `SELECT s.name, s.first, (SELECT max(e.seq) FROM entries e WHERE e.stream = s.id) FROM streams s
		WHERE s.name > ? AND EXISTS (SELECT 1 FROM entries e WHERE e.stream = s.id) ORDER BY s.name LIMIT ?`, []any{string(after), limit}, func(rows *sql.Rows) error {
		var state bridge.StreamState
		err := rows.Scan((*string)(&state.Stream), &state.First, &state.Seq)
		list = append(list, state)
		return err
	})
	return list, err
}

// NewestAt returns the server time of the newest durable entry, 0 if there is none.
func (s *Store) NewestAt(ctx context.Context) (at int64, err error) {
	if err := s.settle(ctx); err != nil {
		return 0, fmt.Errorf("read the newest server time: %w", err)
	}
	err = s.query(ctx, "read the newest server time", `SELECT coalesce(max(at), 0) FROM entries`, nil, func(rows *sql.Rows) error { return rows.Scan(&at) })
	return at, err
}

// About returns how many streams there are. How many entries is not known without
// counting them: 0.
func (s *Store) About(ctx context.Context) (streams, entries int64, err error) {
	err = s.query(ctx, "count streams", `SELECT coalesce(max(id), 0) FROM streams`, nil, func(rows *sql.Rows) error { return rows.Scan(&streams) })
	return streams, 0, err
}

// Rows returns rows of a kind; see bridge.Portable.
func (s *Store) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	t, ok := tables()[kind]
	if !ok {
		return nil, fmt.Errorf("there are no rows of the kind %q", kind)
	}
	query := `SELECT ` + t.columns + ` FROM ` + t.from + ` WHERE (` + t.key + `) > (?` + strings.Repeat(`, ?`, strings.Count(t.key, ",")) + `) ORDER BY ` + t.key + ` LIMIT ?`
	var args []any
	for _, part := range bridge.RowKeyParts(after, 1+strings.Count(t.key, ",")) {
		args = append(args, part)
	}
	var list []bridge.Row
	err := s.query(ctx, "list rows", query, append(args, limit), func(rows *sql.Rows) error {
		key, value, err := t.scan(rows)
		if err != nil {
			return err
		}
		row := bridge.Row{Kind: kind, Key: bridge.RowKey(key...)}
		row.Value, err = parley.EncodeBody(value)
		list = append(list, row)
		return err
	})
	return list, err
}

// table is how rows of a kind are read and written.
type table struct {
	from, key, columns string
	scan               func(*sql.Rows) (key []string, value any, err error)
	put                func(*writer, json.RawMessage) error
}

func tables() map[bridge.RowKind]table {
	return map[bridge.RowKind]table{
		bridge.RowSecret:       {`secrets`, `name`, `name, value`, scanSecret, putAs(putSecret)},
		bridge.RowSite:         {`sites`, `id`, `id, key, name, origins`, scanSite, putAs(putSite)},
		bridge.RowAccount:      {`accounts`, `site, id`, `site, id, email, name, role, password`, scanAccount, putAs(putAccount)},
		bridge.RowRevocation:   {`revocations`, `site, user, device`, `site, user, device, before`, scanRevocation, putAs(putRevocation)},
		bridge.RowSession:      {`sessions s`, `device`, sessionColumns, scanSession, putAs(putSession)},
		bridge.RowCursor:       {`cursors`, `device, stream`, `device, stream, epoch, seq`, scanCursor, putAs(putCursor)},
		bridge.RowRegister:     {`registers`, `site, user, key`, `site, user, key, value, version`, scanRegister, putAs(putRegister)},
		bridge.RowConversation: {`conversations`, `site, id`, conversationColumns, scanRow, putAs((*writer).saveConversation)},
		bridge.RowAttachment:   {`attachments`, `site, id`, `value`, scanAttachmentRow, putAs(putAttachment)},
		bridge.RowNumber:       {numbers, `name`, `name, value`, scanNumber, putAs(putNumber)},
	}
}

// numbers are those of bridge.RowNumber, wherever they are kept.
const numbers = `(SELECT 'generation' AS name, value FROM meta WHERE key = 'generation'
	UNION ALL SELECT 'projected', at FROM readers WHERE name = '` + conversationReader + `')`

const sessionColumns = `device, generation, expiry, away_since, seen, epoch, last_id,
	(SELECT json_group_array(json_object('Filter', filter, 'QoS', qos) ORDER BY filter) FROM subscriptions u WHERE u.device = s.device)`

func scanSecret(rows *sql.Rows) ([]string, any, error) {
	var v bridge.Secret
	err := rows.Scan(&v.Name, &v.Value)
	return []string{v.Name}, v, err
}

func scanSite(rows *sql.Rows) ([]string, any, error) {
	var v parley.Site
	var origins []byte
	if err := rows.Scan(&v.ID, &v.Key, &v.Name, &origins); err != nil {
		return nil, nil, err
	}
	return []string{v.ID}, &v, json.Unmarshal(origins, &v.Origins)
}

func scanAccount(rows *sql.Rows) ([]string, any, error) {
	var v parley.Account
	err := rows.Scan(&v.Site, &v.ID, &v.Email, &v.Name, (*string)(&v.Role), &v.PasswordHash)
	return []string{v.Site, v.ID}, v, err
}

func scanRevocation(rows *sql.Rows) ([]string, any, error) {
	var v parley.Revocation
	err := rows.Scan(&v.Site, &v.User, &v.Device, &v.Before)
	return []string{v.Site, v.User, v.Device}, v, err
}

func scanSession(rows *sql.Rows) ([]string, any, error) {
	var v bridge.KeptSession
	var subscriptions []byte
	if err := rows.Scan(&v.Device, &v.Generation, &v.Expiry, &v.AwaySince, &v.Seen, &v.Epoch, &v.LastID, &subscriptions); err != nil {
		return nil, nil, err
	}
	err := json.Unmarshal(subscriptions, &v.Subscriptions)
	if len(v.Subscriptions) == 0 {
		v.Subscriptions = nil
	}
	return []string{v.Device}, v, err
}

func scanCursor(rows *sql.Rows) ([]string, any, error) {
	var v bridge.KeptCursor
	err := rows.Scan(&v.Device, (*string)(&v.Stream), &v.Epoch, &v.Seq)
	return []string{v.Device, string(v.Stream)}, v, err
}

func scanRegister(rows *sql.Rows) ([]string, any, error) {
	var v bridge.UserRegister
	err := rows.Scan(&v.Site, &v.User, &v.Key, (*[]byte)(&v.Value), &v.Version)
	return []string{v.Site, v.User, v.Key}, v, err
}

func scanRow(rows *sql.Rows) ([]string, any, error) {
	var v parley.Conversation
	err := scanConversation(rows, &v)
	if len(v.Marks) == 0 {
		v.Marks = nil // which is not [] as JSON
	}
	return []string{v.Site, v.ID}, v, err
}

func scanNumber(rows *sql.Rows) ([]string, any, error) {
	var v bridge.Number
	err := rows.Scan(&v.Name, &v.Value)
	return []string{v.Name}, v, err
}
