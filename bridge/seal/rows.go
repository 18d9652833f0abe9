package seal

import (
	"context"
	"fmt"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// siteOfRow returns the site whose keys a row is sealed with: those of notes are stored
// under a name behind the site's.
func siteOfRow(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// sealText seals a text of a row. An empty one says nothing and stays.
func (k *site) sealText(text, place []byte, n nonce) []byte {
	if len(text) == 0 {
		return text
	}
	return envelope(k.newest.number, 0, sealAs(k.newest.rows, n, text, place))
}

// sealRow seals what people wrote in a row.
func (k *site) sealRow(c *parley.Conversation, n nonce) {
	for name, text := range texts(c) {
		*text = string(k.sealText([]byte(*text), rowPlace(c, name), n))
	}
}

// sealRegister seals a register. That it is empty is known.
func (k *site) sealRegister(r *bridge.UserRegister, n nonce) {
	if string(r.Value) != empty {
		r.Value = k.sealText(r.Value, registerPlace(r.Site, r.User, r.Key), n)
	}
}

func (k *site) openText(sealed []byte, place []byte) ([]byte, error) {
	l, err := unfold(sealed)
	if err != nil {
		return nil, err
	}
	key, err := k.key(l.number)
	if err != nil {
		return nil, err
	}
	return key.rows.open(nil, l.ciphertext, place)
}

// texts returns what people wrote in a row, by name.
func texts(c *parley.Conversation) map[string]*string {
	return map[string]*string{"visitor": &c.VisitorName, "assignee": &c.AssigneeName, "text": &c.LastText}
}

func rowPlace(c *parley.Conversation, name string) []byte {
	return about("conversation", c.Site, c.ID, name)
}

// SaveConversations writes rows of the conversation projection; see bridge.Store.
func (s *Store) SaveConversations(ctx context.Context, rows []parley.Conversation, position int64) error {
	sealed := make([]parley.Conversation, len(rows))
	for i, c := range rows {
		k, err := s.writing(ctx, siteOfRow(c.Site))
		if err != nil {
			return err
		}
		if k != nil {
			k.sealRow(&c, nil)
		}
		sealed[i] = c
	}
	return s.inner.SaveConversations(ctx, sealed, position)
}

// openRow opens what people wrote in a row. What cannot be opened is empty; the log has
// it.
func (s *Store) openRow(c parley.Conversation) parley.Conversation {
	for name, text := range texts(&c) {
		if !isSealed([]byte(*text)) {
			continue
		}
		k := s.knowing(siteOfRow(c.Site), []byte(*text))
		if k == nil {
			continue // a visitor may be called so
		}
		plain, err := k.openText([]byte(*text), rowPlace(&c, name))
		if err != nil {
			s.damage("a text of a conversation's row", err, "site", c.Site, "conversation", c.ID)
		}
		*text = string(plain)
	}
	return c
}

// sealRows writes the rows of a site's conversations again.
func (s *Store) sealRows(ctx context.Context, name string) error {
	position, err := s.inner.ProjectedTo(ctx)
	if err != nil {
		return fmt.Errorf("read the projection's position: %w", err)
	}
	q := bridge.ConversationQuery{Site: name, Limit: bridge.MaxAppend}
	for {
		rows, err := s.Conversations(ctx, q)
		if err != nil {
			return fmt.Errorf("read conversations: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		if err := s.SaveConversations(ctx, rows, position); err != nil {
			return fmt.Errorf("seal conversations: %w", err)
		}
		last := rows[len(rows)-1]
		q.UpdatedBefore, q.IDBefore = last.UpdatedAt, last.ID
	}
}

// ProjectedTo returns the position of the last SaveConversations.
func (s *Store) ProjectedTo(ctx context.Context) (int64, error) { return s.inner.ProjectedTo(ctx) }

// Conversation returns a row of the projection; see bridge.Store.
func (s *Store) Conversation(ctx context.Context, site, id string) (parley.Conversation, error) {
	c, err := s.inner.Conversation(ctx, site, id)
	if err != nil {
		return c, err
	}
	return s.openRow(c), nil
}

// Conversations returns rows of the projection; see bridge.Store.
func (s *Store) Conversations(ctx context.Context, q bridge.ConversationQuery) ([]parley.Conversation, error) {
	rows, err := s.inner.Conversations(ctx, q)
	for i := range rows {
		rows[i] = s.openRow(rows[i])
	}
	return rows, err
}

func registerPlace(site, user, key string) []byte { return about("register", site, user, key) }

const empty = "null"

// SaveRegisters writes rows of the projection of personal registers; see bridge.Store.
func (s *Store) SaveRegisters(ctx context.Context, rows []bridge.UserRegister) error {
	sealed := make([]bridge.UserRegister, len(rows))
	for i, r := range rows {
		k, err := s.writing(ctx, r.Site)
		if err != nil {
			return err
		}
		if k != nil {
			k.sealRegister(&r, nil)
		}
		sealed[i] = r
	}
	return s.inner.SaveRegisters(ctx, sealed)
}

// Registers returns a user's registers; see bridge.Store. One that cannot be opened is
// empty, and keeps its version.
func (s *Store) Registers(ctx context.Context, site, user string) ([]parley.Register, error) {
	all, err := s.inner.Registers(ctx, site, user)
	for i := range all {
		r := &all[i]
		if !isSealed(r.Value) {
			continue
		}
		k := s.knowing(site, r.Value)
		if k == nil {
			continue // anything may be in a register
		}
		plain, err := k.openText(r.Value, registerPlace(site, user, r.Key))
		if err != nil {
			s.damage("a register", err, "site", site, "user", user, "key", r.Key)
			plain = []byte(empty)
		}
		r.Value = plain
	}
	return all, err
}

// SaveDocuments writes documents of the search index; see bridge.Store. The tokens of
// sealed sites are blind.
func (s *Store) SaveDocuments(ctx context.Context, docs []bridge.Document, position int64) error {
	blind := make([]bridge.Document, len(docs))
	for i, d := range docs {
		k, err := s.writing(ctx, d.Stream.Site())
		if err != nil {
			return err
		}
		if k != nil {
			d.Tokens = k.blind.all(d.Tokens)
		}
		blind[i] = d
	}
	return s.inner.SaveDocuments(ctx, blind, position)
}

// IndexedTo returns the position of the last SaveDocuments.
func (s *Store) IndexedTo(ctx context.Context) (int64, error) { return s.inner.IndexedTo(ctx) }

// FindDocuments searches the index; see bridge.Store.
func (s *Store) FindDocuments(ctx context.Context, q bridge.DocumentQuery) ([]bridge.Found, error) {
	if k := s.site(q.Site); k != nil {
		q.Tokens = k.blind.all(q.Tokens)
	}
	return s.inner.FindDocuments(ctx, q)
}
