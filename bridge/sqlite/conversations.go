package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

const conversationColumns = `site, id, status, visitor, assignee, visitor_name, assignee_name, head, control, count, opened_at, updated_at, last_text, changed_at, agent_read, marks, last_seq, first`

// saveConversation knows where the messages begin better than its caller may.
const saveConversation = `WITH log AS (SELECT max(?17, coalesce((SELECT first FROM streams WHERE name = ?18), 0)) AS first)
	INSERT INTO conversations (` + conversationColumns + `)
	SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, CASE WHEN ?16 < log.first THEN '' ELSE ?19 END, ?13, ?14, ?15, ?16, log.first
	FROM log WHERE true
	ON CONFLICT (site, id) DO UPDATE SET
		status = excluded.status, visitor = excluded.visitor, assignee = excluded.assignee,
		visitor_name = excluded.visitor_name, assignee_name = excluded.assignee_name,
		head = excluded.head, control = excluded.control, count = excluded.count,
		opened_at = excluded.opened_at, updated_at = excluded.updated_at, last_text = excluded.last_text,
		changed_at = excluded.changed_at, agent_read = excluded.agent_read, marks = excluded.marks, last_seq = excluded.last_seq,
		first = max(conversations.first, excluded.first)
	WHERE excluded.head >= conversations.head`

// conversationReader names the projection's position in the readers table.
const conversationReader = "conversations"

// SaveConversations writes rows of the conversation projection and its position;
// see bridge.Store.
func (s *Store) SaveConversations(ctx context.Context, rows []parley.Conversation, position int64) error {
	for i := range rows {
		if rows[i].Site == "" {
			return fmt.Errorf("save conversation: %w", errEmptySite)
		}
	}
	rows = slices.Clone(rows) // a caller that gives up may use its slice again
	err := s.doLazily(ctx, len(rows)+1, workFunc(func(w *writer) error {
		for i := range rows {
			if err := w.saveConversation(&rows[i]); err != nil {
				return err
			}
		}
		return w.saveReader(conversationReader, position)
	}))
	if err != nil {
		return fmt.Errorf("save conversations: %w", err)
	}
	return nil
}

func (w *writer) saveConversation(c *parley.Conversation) error {
	marks, err := json.Marshal(c.Marks)
	if err != nil {
		return err
	}
	_, err = w.exec(saveConversation, c.Site, c.ID, string(c.Status), c.Visitor, c.Assignee, c.VisitorName, c.AssigneeName,
		c.Head, c.Control, c.Count, c.OpenedAt, c.UpdatedAt, c.ChangedAt, c.AgentRead, string(marks), c.LastSeq, c.First, string(c.Stream()), c.LastText)
	return err
}

// ProjectedTo returns the position of the last SaveConversations, 0 if none.
func (s *Store) ProjectedTo(ctx context.Context) (position int64, err error) {
	return s.readerAt(ctx, conversationReader)
}

// saveReader notes how far a reader of the log is.
func (w *writer) saveReader(name string, position int64) error {
	_, err := w.exec(`INSERT INTO readers (name, at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at`, name, position)
	return err
}

func (s *Store) readerAt(ctx context.Context, name string) (position int64, err error) {
	err = s.query(ctx, "read a reader's position", `SELECT at FROM readers WHERE name = ?`, []any{name}, func(rows *sql.Rows) error {
		return rows.Scan(&position)
	})
	return position, err
}

const readConversation = `SELECT ` + conversationColumns + ` FROM conversations WHERE site = ? AND id = ?`

// Conversation returns a row of the projection; the zero value, without an
// error, if there is none.
func (s *Store) Conversation(ctx context.Context, site, id string) (c parley.Conversation, err error) {
	if site == "" {
		return c, fmt.Errorf("read conversation: %w", errEmptySite)
	}
	err = s.read(ctx, "read conversation", func(r *readers) (*sql.Rows, error) {
		return r.conversation.QueryContext(ctx, site, id)
	}, func(rows *sql.Rows) error {
		return scanConversation(rows, &c)
	})
	if err != nil {
		return parley.Conversation{}, err
	}
	return c, nil
}

// Conversations returns rows of the projection, most recently updated first; see
// bridge.Store.
func (s *Store) Conversations(ctx context.Context, q bridge.ConversationQuery) ([]parley.Conversation, error) {
	if q.Site == "" {
		return nil, fmt.Errorf("list conversations: %w", errEmptySite)
	}
	query, args := conversationSelect(q)
	var list []parley.Conversation
	err := s.query(ctx, "list conversations", query, args, func(rows *sql.Rows) error {
		var c parley.Conversation
		err := scanConversation(rows, &c)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func scanConversation(rows *sql.Rows, c *parley.Conversation) error {
	var marks []byte
	err := rows.Scan(&c.Site, &c.ID, (*string)(&c.Status), &c.Visitor, &c.Assignee, &c.VisitorName, &c.AssigneeName,
		&c.Head, &c.Control, &c.Count, &c.OpenedAt, &c.UpdatedAt, &c.LastText, &c.ChangedAt, &c.AgentRead, &marks, &c.LastSeq, &c.First)
	if err != nil {
		return err
	}
	return json.Unmarshal(marks, &c.Marks)
}

// conversationSelect builds the query. "Assigned or queued" is the union of two
// ordered index scans: with an OR, SQLite would walk the whole site.
func conversationSelect(q bridge.ConversationQuery) (string, []any) {
	where, args := conversationWhere(q)
	order := ` ORDER BY updated_at DESC, id DESC`
	if q.ChangedFrom != 0 { // few rows: find them by their index, then sort
		order = ` ORDER BY +updated_at DESC, +id DESC`
	}
	if q.Limit > 0 {
		order += fmt.Sprintf(` LIMIT %d`, q.Limit)
	}
	part := `SELECT ` + conversationColumns + ` FROM conversations WHERE ` + where
	if q.AssigneeOrQueued == "" {
		return part + order, args
	}
	query := `SELECT * FROM (` + part + ` AND assignee = ?` + order + `)
		UNION SELECT * FROM (` + part + ` AND status = ?` + order + `)` + order
	all := append(slices.Clone(args), q.AssigneeOrQueued)
	return query, append(append(all, args...), string(parley.StatusQueued))
}

func conversationWhere(q bridge.ConversationQuery) (string, []any) {
	conditions, args := []string{`site = ?`}, []any{q.Site}
	for _, c := range []struct{ column, value string }{
		{`visitor`, q.Visitor}, {`assignee`, q.Assignee}, {`status`, string(q.Status)},
	} {
		if c.value != "" {
			conditions, args = append(conditions, c.column+` = ?`), append(args, c.value)
		}
	}
	if q.UpdatedBefore != 0 {
		conditions, args = append(conditions, `(updated_at, id) < (?, ?)`), append(args, q.UpdatedBefore, q.IDBefore)
	}
	if q.OpenedTo != 0 {
		conditions, args = append(conditions, `opened_at <= ?`), append(args, q.OpenedTo)
	}
	if q.ChangedFrom != 0 {
		conditions, args = append(conditions, `changed_at >= ?`), append(args, q.ChangedFrom)
	}
	return strings.Join(conditions, ` AND `), args
}
