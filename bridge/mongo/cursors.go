package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// cursorDoc is how far a device has acknowledged a stream. Its id begins with the
// device and the birth of its session: cursors of sessions that have ended count
// for nothing, before anybody has deleted them.
type cursorDoc struct {
	ID     string `bson:"_id"` // device, born and stream
	Device string `bson:"device"`
	Epoch  string `bson:"epoch"`
	Seq    int64  `bson:"seq"`
	Floor  int64  `bson:"floor"` // connections of an older generation do not move it
}

func cursorID(device string, born int64, stream parley.Stream) string {
	return key(device, strconv.FormatInt(born, 10), string(stream))
}

func cursorIDs(device string, born int64, streams []parley.Stream) []string {
	ids := make([]string, len(streams))
	for i, stream := range streams {
		ids[i] = cursorID(device, born, stream)
	}
	return ids
}

// ofDevice matches all ids that begin with names.
func beginning(names ...string) bson.D {
	prefix := key(names...)
	return bson.D{{Key: "$gte", Value: prefix + " "}, {Key: "$lt", Value: prefix + "!"}} // ! comes behind the space
}

// Cursors returns the device's cursors in streams, in any order. Streams in which
// it has none are left out.
func (s *Store) Cursors(ctx context.Context, device string, streams []parley.Stream) ([]parley.Cursor, error) {
	if len(streams) == 0 {
		return nil, nil
	}
	session, err := one[sessionDoc](ctx, s, s.c.sessions, bson.D{field("_id", device)})
	if err != nil || session == nil {
		return nil, err
	}
	docs, err := find[cursorDoc](ctx, s, s.c.cursors, bson.D{field("_id", bson.D{{Key: "$in", Value: cursorIDs(device, session.Born, streams)}})})
	if err != nil {
		return nil, err
	}
	prefix := cursorID(device, session.Born, "")
	var cursors []parley.Cursor
	for _, d := range docs {
		cursors = append(cursors, parley.Cursor{Stream: parley.Stream(strings.TrimPrefix(d.ID, prefix)), Epoch: d.Epoch, Seq: d.Seq})
	}
	return cursors, nil
}

// startCursors makes the cursors that a subscription starts from. Without Reset,
// those that are there stay as they are.
func (s *Store) startCursors(ctx context.Context, d *sessionDoc, save parley.SubscriptionSave) error {
	if len(save.Starts) == 0 {
		return nil
	}
	docs := make([]cursorDoc, len(save.Starts))
	for i, c := range save.Starts {
		docs[i] = cursorDoc{ID: cursorID(d.Device, d.Born, c.Stream), Device: d.Device, Epoch: c.Epoch, Seq: c.Seq, Floor: d.Generation}
	}
	if !save.Reset {
		_, err := s.c.cursors.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
		if onlyDuplicates(err) {
			return nil
		}
		return err
	}
	models := make([]driver.WriteModel, len(docs))
	for i := range docs {
		models[i] = driver.NewReplaceOneModel().SetFilter(bson.D{field("_id", docs[i].ID)}).SetReplacement(docs[i]).SetUpsert(true)
	}
	_, err := s.c.cursors.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	return err
}

func (s *Store) deleteCursors(ctx context.Context, d *sessionDoc, streams []parley.Stream) error {
	if len(streams) == 0 {
		return nil
	}
	_, err := s.c.cursors.DeleteMany(ctx, bson.D{field("_id", bson.D{{Key: "$in", Value: cursorIDs(d.Device, d.Born, streams)}})})
	return err
}

func (s *Store) deleteOtherCursors(ctx context.Context, d *sessionDoc, keep []parley.Stream) error {
	ids := beginning(d.Device)
	if len(keep) > 0 {
		ids = append(ids, field("$nin", cursorIDs(d.Device, d.Born, keep)))
	}
	_, err := s.c.cursors.DeleteMany(ctx, bson.D{field("_id", ids)})
	return err
}

// forgetCursors deletes the cursors of the device's former sessions; born is the
// birth of the present one, 0 if there is none.
func (s *Store) forgetCursors(ctx context.Context, device string, born int64) error {
	return s.retry(ctx, "delete cursors", func(ctx context.Context) error {
		own := beginning(device, strconv.FormatInt(born, 10))
		_, err := s.c.cursors.DeleteMany(ctx, bson.D{field("_id", beginning(device)), field("$or", bson.A{
			bson.D{field("_id", bson.D{{Key: "$lt", Value: own[0].Value}})},
			bson.D{field("_id", bson.D{{Key: "$gte", Value: own[1].Value}})},
		})})
		return err
	})
}

// SaveCursors raises cursors; a lower seq of the same epoch changes nothing, a
// cursor of another epoch is replaced, one that does not exist is made. A save
// without a stream only raises Seen. On a slow database a save gives way to who connects or
// leaves. Saves of unknown devices and of generations
// older than the session's are ignored.
func (s *Store) SaveCursors(ctx context.Context, saves []parley.CursorSave) error {
	if len(saves) == 0 {
		return nil
	}
	saves = slices.Clone(saves)
	devices := make([]string, len(saves))
	for i := range saves {
		devices[i] = saves[i].Device
	}
	slices.Sort(devices)
	devices = slices.Compact(devices)
	yielding, unlock := s.stripes.lockYielding(ctx, devices...)
	defer unlock()
	err := s.retry(yielding, "save cursors", func(ctx context.Context) error {
		docs, err := findIn[sessionDoc](ctx, s.c.sessions, bson.D{field("_id", bson.D{{Key: "$in", Value: devices}})})
		if err != nil {
			return err
		}
		sessions := make(map[string]*sessionDoc, len(docs))
		for i := range docs {
			sessions[docs[i].Device] = &docs[i]
		}
		if err := s.raiseCursors(ctx, sessions, saves); err != nil {
			return err
		}
		return s.raiseSeen(ctx, sessions, saves)
	})
	if err != nil && yielding.Err() != nil && ctx.Err() == nil {
		err = unknown(errYielded)
	}
	if err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}

// errYielded means that a save took so long that who waited for one of its devices, to log
// in or out, came first.
var errYielded = errors.New("a device has connected or left meanwhile, the database is slow")

// raiseCursors writes the saves that count, the last word for each cursor.
func (s *Store) raiseCursors(ctx context.Context, sessions map[string]*sessionDoc, saves []parley.CursorSave) error {
	place := map[string]int{}
	var wanted []parley.Cursor
	var rows []row
	for _, save := range saves {
		session, c := sessions[save.Device], save.Cursor
		if session == nil || session.Generation > save.Generation || c.Stream == "" {
			continue
		}
		id := cursorID(save.Device, session.Born, c.Stream)
		at, twice := place[id]
		if !twice {
			at = len(rows)
			place[id] = at
			rows, wanted = append(rows, row{}), append(wanted, c)
		} else if wanted[at].Epoch == c.Epoch && wanted[at].Seq >= c.Seq {
			continue
		}
		wanted[at] = c
		rows[at] = cursorRow(cursorDoc{ID: id, Device: save.Device, Epoch: c.Epoch, Seq: c.Seq, Floor: save.Generation})
	}
	if len(rows) == 0 {
		return nil
	}
	return s.saveRows(ctx, s.c.cursors, rows)
}

func cursorRow(d cursorDoc) row {
	return row{
		id: d.ID,
		older: bson.D{
			field("floor", bson.D{{Key: "$lte", Value: d.Floor}}),
			field("$or", bson.A{
				bson.D{field("epoch", bson.D{{Key: "$ne", Value: d.Epoch}})},
				bson.D{field("seq", bson.D{{Key: "$lt", Value: d.Seq}})},
			}),
		},
		document: bson.D{field("_id", d.ID), field("device", d.Device), field("epoch", d.Epoch), field("seq", d.Seq), field("floor", d.Floor)},
	}
}

// raiseSeen writes what devices have seen where that has risen.
func (s *Store) raiseSeen(ctx context.Context, sessions map[string]*sessionDoc, saves []parley.CursorSave) error {
	seen := map[string]int64{}
	for _, save := range saves {
		session := sessions[save.Device]
		if session != nil && session.Generation <= save.Generation && save.Seen > max(session.Seen, seen[save.Device]) {
			seen[save.Device] = save.Seen
		}
	}
	if len(seen) == 0 {
		return nil
	}
	var models []driver.WriteModel
	for device, at := range seen {
		version, err := s.generations.above(ctx, 0)
		if err != nil {
			return err
		}
		models = append(models, driver.NewUpdateOneModel().
			SetFilter(bson.D{field("_id", device), field("version", sessions[device].Version)}).
			SetUpdate(set(field("seen", at), field("version", version))))
	}
	s.counters.writes.Add(1)
	r, err := s.c.sessions.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err == nil && int(r.MatchedCount) < len(models) {
		return errRaced
	}
	return err
}
