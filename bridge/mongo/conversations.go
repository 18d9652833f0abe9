package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// errEmptySite guards queries that are made within a site.
var errEmptySite = errors.New("query without a site")

// conversationDoc is a row of the projection.
type conversationDoc struct {
	ID           string    `bson:"_id"` // site and id
	Site         string    `bson:"site"`
	Name         string    `bson:"id"`
	Status       string    `bson:"status"`
	Visitor      string    `bson:"visitor"`
	Assignee     string    `bson:"assignee"`
	VisitorName  string    `bson:"visitor_name"`
	AssigneeName string    `bson:"assignee_name"`
	Head         int64     `bson:"head"`
	First        int64     `bson:"first"`
	Control      int64     `bson:"control"`
	Count        int64     `bson:"count"`
	Opened       int64     `bson:"opened"`
	Updated      int64     `bson:"updated"`
	Changed      int64     `bson:"changed"`
	LastText     string    `bson:"last_text"`
	LastSeq      int64     `bson:"last_seq"`
	AgentRead    int64     `bson:"agent_read"`
	Marks        []markDoc `bson:"marks"`
}

type markDoc struct {
	User      string `bson:"user"`
	Delivered int64  `bson:"delivered"`
	Read      int64  `bson:"read"`
	Count     int64  `bson:"count"`
}

// key joins names, none of which holds a space, to an _id.
func key(names ...string) string {
	id := ""
	for i, name := range names {
		if i > 0 {
			id += " "
		}
		id += name
	}
	return id
}

func conversationDocOf(c *parley.Conversation) conversationDoc {
	d := conversationDoc{
		ID: key(c.Site, c.ID), Site: c.Site, Name: c.ID, Status: string(c.Status), Visitor: c.Visitor, Assignee: c.Assignee,
		VisitorName: c.VisitorName, AssigneeName: c.AssigneeName, Head: c.Head, First: c.First, Control: c.Control, Count: c.Count,
		Opened: c.OpenedAt, Updated: c.UpdatedAt, Changed: c.ChangedAt, LastText: c.LastText, LastSeq: c.LastSeq,
		AgentRead: c.AgentRead, Marks: []markDoc{},
	}
	for _, m := range c.Marks {
		d.Marks = append(d.Marks, markDoc(m))
	}
	return d
}

func (d *conversationDoc) conversation() parley.Conversation {
	c := parley.Conversation{
		Site: d.Site, ID: d.Name, Status: parley.Status(d.Status), Visitor: d.Visitor, Assignee: d.Assignee,
		VisitorName: d.VisitorName, AssigneeName: d.AssigneeName, Head: d.Head, First: d.First, Control: d.Control, Count: d.Count,
		OpenedAt: d.Opened, UpdatedAt: d.Updated, ChangedAt: d.Changed, LastText: d.LastText, LastSeq: d.LastSeq,
		AgentRead: d.AgentRead,
	}
	for _, m := range d.Marks {
		c.Marks = append(c.Marks, parley.Mark(m))
	}
	return c
}

// documentOf returns v, a struct with bson tags, as a document.
func documentOf(v any) (bson.D, error) {
	data, err := bson.Marshal(v)
	if err != nil {
		return nil, err
	}
	var d bson.D
	err = bson.Unmarshal(data, &d)
	return d, err
}

// conversationReader names the projection's position among the readers.
const conversationReader = "conversations"

type readerDoc struct {
	Name string `bson:"_id"`
	At   int64  `bson:"at"`
}

// SaveConversations writes rows of the conversation projection and its position;
// see bridge.Store. The position is written last: a crash in between makes a
// reader do again what it has done.
func (s *Store) SaveConversations(ctx context.Context, rows []parley.Conversation, position int64) error {
	place := make(map[string]int, len(rows))
	var docs []conversationDoc
	var streams []string
	for i := range rows {
		if rows[i].Site == "" {
			return fmt.Errorf("save conversation: %w", errEmptySite)
		}
		d := conversationDocOf(&rows[i])
		if at, twice := place[d.ID]; !twice {
			place[d.ID] = len(docs)
			docs, streams = append(docs, d), append(streams, string(rows[i].Stream()))
		} else if d.Head >= docs[at].Head {
			docs[at] = d
		}
	}
	s.cutting.Lock()
	defer s.cutting.Unlock()
	return s.retry(ctx, "save conversations", func(ctx context.Context) error {
		if len(docs) > 0 {
			if err := s.saveConversations(ctx, docs, streams); err != nil {
				return err
			}
		}
		return s.saveReader(ctx, conversationReader, position)
	})
}

// saveConversations writes rows. It knows where the messages begin better than
// its caller may.
func (s *Store) saveConversations(ctx context.Context, docs []conversationDoc, streams []string) error {
	firsts, err := s.firsts(ctx, streams)
	if err != nil {
		return err
	}
	rows := make([]row, len(docs))
	for i, d := range docs {
		if d.First = max(d.First, firsts[streams[i]]); d.LastSeq < d.First {
			d.LastText = ""
		}
		document, err := documentOf(d)
		if err != nil {
			return err
		}
		rows[i] = row{id: d.ID, older: bson.D{
			field("head", bson.D{{Key: "$lte", Value: d.Head}}), field("first", bson.D{{Key: "$lte", Value: d.First}}),
		}, document: document}
	}
	return s.saveRows(ctx, s.c.conversations, rows)
}

// saveReader notes how far a reader of the log is.
func (s *Store) saveReader(ctx context.Context, name string, position int64) error {
	_, err := s.c.readers.UpdateOne(ctx, bson.D{field("_id", name)}, set(field("at", position)), options.UpdateOne().SetUpsert(true))
	return err
}

// ProjectedTo returns the position of the last SaveConversations, 0 if none.
func (s *Store) ProjectedTo(ctx context.Context) (int64, error) {
	return s.readerAt(ctx, conversationReader)
}

func (s *Store) readerAt(ctx context.Context, name string) (int64, error) {
	r, err := one[readerDoc](ctx, s, s.c.readers, bson.D{field("_id", name)})
	if err != nil || r == nil {
		return 0, err
	}
	return r.At, nil
}

// Conversation returns a row of the projection; the zero value, without an
// error, if there is none.
func (s *Store) Conversation(ctx context.Context, site, id string) (parley.Conversation, error) {
	if site == "" {
		return parley.Conversation{}, fmt.Errorf("read conversation: %w", errEmptySite)
	}
	d, err := one[conversationDoc](ctx, s, s.c.conversations, bson.D{field("_id", key(site, id))})
	if err != nil || d == nil {
		return parley.Conversation{}, err
	}
	return d.conversation(), nil
}

// Conversations returns rows of the projection, most recently updated first; see
// bridge.Store. "Assigned or queued" is two queries, each of which walks an index
// in the order that is wanted.
func (s *Store) Conversations(ctx context.Context, q bridge.ConversationQuery) ([]parley.Conversation, error) {
	if q.Site == "" {
		return nil, fmt.Errorf("list conversations: %w", errEmptySite)
	}
	if q.AssigneeOrQueued == "" {
		return s.conversations(ctx, q.Limit, conversationFilter(q))
	}
	mine, err := s.conversations(ctx, q.Limit, append(conversationFilter(q), field("assignee", q.AssigneeOrQueued)))
	if err != nil {
		return nil, err
	}
	var queued []parley.Conversation
	if q.Status == "" || q.Status == parley.StatusQueued {
		q.Status = parley.StatusQueued
		if queued, err = s.conversations(ctx, q.Limit, conversationFilter(q)); err != nil {
			return nil, err
		}
	}
	all := append(mine, queued...)
	slices.SortFunc(all, func(a, b parley.Conversation) int {
		return cmp.Or(cmp.Compare(b.UpdatedAt, a.UpdatedAt), cmp.Compare(b.ID, a.ID))
	})
	all = slices.CompactFunc(all, func(a, b parley.Conversation) bool { return a.ID == b.ID })
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all, nil
}

func (s *Store) conversations(ctx context.Context, limit int, filter bson.D) ([]parley.Conversation, error) {
	docs, err := find[conversationDoc](ctx, s, s.c.conversations, filter,
		options.Find().SetSort(bson.D{{Key: "updated", Value: -1}, {Key: "id", Value: -1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	var list []parley.Conversation
	for i := range docs {
		list = append(list, docs[i].conversation())
	}
	return list, nil
}

func conversationFilter(q bridge.ConversationQuery) bson.D {
	filter := bson.D{field("site", q.Site)}
	for _, c := range []struct{ name, value string }{
		{"visitor", q.Visitor}, {"assignee", q.Assignee}, {"status", string(q.Status)},
	} {
		if c.value != "" {
			filter = append(filter, field(c.name, c.value))
		}
	}
	if q.UpdatedBefore != 0 {
		filter = append(filter, field("updated", bson.D{{Key: "$lte", Value: q.UpdatedBefore}}), field("$or", bson.A{
			bson.D{field("updated", bson.D{{Key: "$lt", Value: q.UpdatedBefore}})},
			bson.D{field("id", bson.D{{Key: "$lt", Value: q.IDBefore}})},
		}))
	}
	if q.OpenedTo != 0 {
		filter = append(filter, field("opened", bson.D{{Key: "$lte", Value: q.OpenedTo}}))
	}
	if q.ChangedFrom != 0 {
		filter = append(filter, field("changed", bson.D{{Key: "$gte", Value: q.ChangedFrom}}))
	}
	return filter
}
