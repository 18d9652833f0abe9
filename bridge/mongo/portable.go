package mongo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Portable = (*Store)(nil)

// Streams returns the streams that have entries; see bridge.Portable. It goes from
// one to the next by the index of positions: each costs a query, however long it is.
func (s *Store) Streams(ctx context.Context, after parley.Stream, limit int) ([]bridge.StreamState, error) {
	var list []bridge.StreamState
	var names []string
	for len(list) < limit {
		next, err := one[entryDoc](ctx, s, s.c.entries, bson.D{field("stream", bson.D{{Key: "$gt", Value: string(after)}})},
			options.FindOne().SetSort(bson.D{{Key: "stream", Value: 1}, {Key: "seq", Value: -1}}))
		if err != nil {
			return nil, fmt.Errorf("list streams: %w", err)
		}
		if next == nil {
			break
		}
		after = parley.Stream(next.Stream)
		list, names = append(list, bridge.StreamState{Stream: after, Seq: next.Seq}), append(names, next.Stream)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, s.retry(ctx, "list streams", func(ctx context.Context) error {
		firsts, err := s.firsts(ctx, names)
		for i := range list {
			list[i].First = firsts[names[i]]
		}
		return err
	})
}

// Rows returns rows of a kind; see bridge.Portable.
func (s *Store) Rows(ctx context.Context, name bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	k, ok := s.kinds()[name]
	if !ok {
		return nil, fmt.Errorf("there are no rows of the kind %q", name)
	}
	rows, err := k.list(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list rows: %w", err)
	}
	for i := range rows {
		rows[i].Kind = name
	}
	return rows, nil
}

// kind is how rows of a kind are read and written.
type kind struct {
	list func(ctx context.Context, after string, limit int) ([]bridge.Row, error)
	put  func(ctx context.Context, values []json.RawMessage) error
}

func (s *Store) kinds() map[bridge.RowKind]kind {
	return map[bridge.RowKind]kind{
		bridge.RowSecret: rowsOf(s, s.c.secrets,
			func(d *secretDoc) (bridge.Secret, []string) { return bridge.Secret(*d), []string{d.Name} },
			func(v *bridge.Secret) (string, any) { return v.Name, secretDoc(*v) }),
		bridge.RowSite: rowsOf(s, s.c.sites,
			func(d *siteDoc) (parley.Site, []string) { return d.site(), []string{d.ID} },
			func(v *parley.Site) (string, any) { return v.ID, siteDoc(*v) }),
		bridge.RowAccount:    rowsOf(s, s.c.accounts, accountValue, accountRow),
		bridge.RowRevocation: rowsOf(s, s.c.revocations, revocationValue, revocationRow),
		bridge.RowSession:    rowsOf(s, s.c.sessions, sessionValue, sessionRow),
		bridge.RowCursor:     {s.listCursors, s.putCursors},
		bridge.RowRegister:   rowsOf(s, s.c.registers, registerValue, registerRow),
		bridge.RowConversation: rowsOf(s, s.c.conversations,
			func(d *conversationDoc) (parley.Conversation, []string) {
				return d.conversation(), []string{d.Site, d.Name}
			},
			func(v *parley.Conversation) (string, any) { d := conversationDocOf(v); return d.ID, d }),
		bridge.RowAttachment: {s.listAttachments, s.putAttachments},
		bridge.RowNumber:     {s.listNumbers, s.putNumbers},
	}
}

// rowsOf makes a kind of which each row is a document whose _id are the parts of
// its key.
func rowsOf[D, V any](s *Store, c *driver.Collection, value func(*D) (V, []string), document func(*V) (string, any)) kind {
	list := func(ctx context.Context, after string, limit int) ([]bridge.Row, error) {
		docs, err := find[D](ctx, s, c, behind(after), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
		rows := make([]bridge.Row, len(docs))
		for i := range docs {
			v, parts := value(&docs[i])
			if rows[i], err = rowOf(v, parts...); err != nil {
				return nil, err
			}
		}
		return rows, err
	}
	put := func(ctx context.Context, values []json.RawMessage) error {
		models := make([]driver.WriteModel, len(values))
		for i, raw := range values {
			var v V
			if err := json.Unmarshal(raw, &v); err != nil {
				return errUndecodable
			}
			id, d := document(&v)
			models[i] = driver.NewReplaceOneModel().SetFilter(bson.D{field("_id", id)}).SetReplacement(d).SetUpsert(true)
		}
		return s.bulk(ctx, c, models)
	}
	return kind{list, put}
}

// behind matches the documents whose ids come behind a row's key: none of its parts
// holds a space, which comes before all that they hold.
func behind(key string) bson.D {
	if key == "" {
		return bson.D{}
	}
	return bson.D{field("_id", bson.D{{Key: "$gt", Value: strings.ReplaceAll(key, "\x00", " ")}})}
}

func rowOf(value any, parts ...string) (bridge.Row, error) {
	raw, err := parley.EncodeBody(value)
	return bridge.Row{Key: bridge.RowKey(parts...), Value: raw}, err
}

func (s *Store) bulk(ctx context.Context, c *driver.Collection, models []driver.WriteModel) error {
	return s.retry(ctx, "write "+c.Name(), func(ctx context.Context) error {
		_, err := c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		return err
	})
}

func accountValue(d *accountDoc) (parley.Account, []string) {
	return d.account(), []string{d.Site, d.Name}
}

func accountRow(v *parley.Account) (string, any) {
	id := key(v.Site, v.ID)
	return id, accountDoc{ID: id, Site: v.Site, Name: v.ID, Email: v.Email, Called: v.Name, Role: string(v.Role), Password: v.PasswordHash}
}

func revocationValue(d *revocationDoc) (parley.Revocation, []string) {
	return parley.Revocation{Site: d.Site, User: d.User, Device: d.Device, Before: d.Before}, []string{d.Site, d.User, d.Device}
}

func revocationRow(v *parley.Revocation) (string, any) {
	id := key(v.Site, v.User, v.Device)
	return id, revocationDoc{ID: id, Site: v.Site, User: v.User, Device: v.Device, Before: v.Before}
}

func registerValue(d *registerDoc) (bridge.UserRegister, []string) {
	return bridge.UserRegister{Site: d.Site, User: d.User, Register: parley.Register{Key: d.Key, Value: d.Value, Version: d.Version}}, []string{d.Site, d.User, d.Key}
}

func registerRow(v *bridge.UserRegister) (string, any) {
	id := key(v.Site, v.User, v.Key)
	return id, registerDoc{ID: id, Site: v.Site, User: v.User, Key: v.Key, Value: v.Value, Empty: string(v.Value) == "null", Version: v.Version}
}

func sessionValue(d *sessionDoc) (bridge.KeptSession, []string) {
	v := bridge.KeptSession{
		Device: d.Device, Generation: d.Generation, Expiry: d.Expiry, Seen: d.Seen, Epoch: d.Epoch, LastID: uint16(d.LastID),
		Subscriptions: d.subscriptions(),
	}
	if d.Ends != 0 {
		v.AwaySince = d.Ends - 1000*d.Expiry
	}
	return v, []string{d.Device}
}

// sessionRow makes a session that was born with its present generation.
func sessionRow(v *bridge.KeptSession) (string, any) {
	d := sessionDoc{
		Device: v.Device, Version: v.Generation, Generation: v.Generation, Born: v.Generation, Expiry: v.Expiry, Seen: v.Seen,
		LastID: int32(v.LastID), Epoch: v.Epoch, Subscriptions: []subscriptionDoc{},
	}
	if v.AwaySince != 0 {
		d.Ends = v.AwaySince + 1000*v.Expiry
	}
	for _, sub := range v.Subscriptions {
		d.Subscriptions = append(d.Subscriptions, subscriptionDoc{Filter: sub.Filter, QoS: int32(sub.QoS)})
	}
	return v.Device, d
}

// listCursors returns cursors of sessions that are there. Those of former ones count
// for nothing.
func (s *Store) listCursors(ctx context.Context, after string, limit int) (rows []bridge.Row, err error) {
	from := ""
	if parts := bridge.RowKeyParts(after, 2); after != "" {
		sessions, err := s.sessionsOf(ctx, parts[:1])
		if err != nil {
			return nil, err
		}
		if d := sessions[parts[0]]; d != nil {
			from = cursorID(d.Device, d.Born, parley.Stream(parts[1]))
		}
	}
	for len(rows) < limit {
		docs, err := find[cursorDoc](ctx, s, s.c.cursors, behind(from), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
		if err != nil || len(docs) == 0 {
			return rows, err
		}
		from = docs[len(docs)-1].ID
		live, err := s.liveCursors(ctx, docs)
		if err != nil {
			return nil, err
		}
		rows = append(rows, live...)
	}
	return rows[:limit], nil
}

func (s *Store) liveCursors(ctx context.Context, docs []cursorDoc) (rows []bridge.Row, err error) {
	var devices []string
	for _, d := range docs {
		devices = append(devices, d.Device)
	}
	sessions, err := s.sessionsOf(ctx, devices)
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		session := sessions[d.Device]
		if session == nil {
			continue
		}
		stream, live := strings.CutPrefix(d.ID, cursorID(d.Device, session.Born, ""))
		if !live {
			continue
		}
		v := bridge.KeptCursor{Device: d.Device, Cursor: parley.Cursor{Stream: parley.Stream(stream), Epoch: d.Epoch, Seq: d.Seq}}
		row, err := rowOf(v, d.Device, stream)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s *Store) sessionsOf(ctx context.Context, devices []string) (map[string]*sessionDoc, error) {
	docs, err := find[sessionDoc](ctx, s, s.c.sessions, bson.D{field("_id", bson.D{{Key: "$in", Value: devices}})})
	sessions := make(map[string]*sessionDoc, len(docs))
	for i := range docs {
		sessions[docs[i].Device] = &docs[i]
	}
	return sessions, err
}

// putCursors stores cursors of sessions that are there.
func (s *Store) putCursors(ctx context.Context, values []json.RawMessage) error {
	cursors, devices := make([]bridge.KeptCursor, len(values)), make([]string, len(values))
	for i, raw := range values {
		if err := json.Unmarshal(raw, &cursors[i]); err != nil {
			return errUndecodable
		}
		devices[i] = cursors[i].Device
	}
	sessions, err := s.sessionsOf(ctx, devices)
	if err != nil {
		return err
	}
	var models []driver.WriteModel
	for _, c := range cursors {
		session := sessions[c.Device]
		if session == nil {
			return fmt.Errorf("there is a cursor of a device that has no session: %s", strconv.Quote(c.Device))
		}
		d := cursorDoc{ID: cursorID(c.Device, session.Born, c.Stream), Device: c.Device, Epoch: c.Epoch, Seq: c.Seq, Floor: session.Generation}
		models = append(models, driver.NewReplaceOneModel().SetFilter(bson.D{field("_id", d.ID)}).SetReplacement(d).SetUpsert(true))
	}
	return s.bulk(ctx, s.c.cursors, models)
}
