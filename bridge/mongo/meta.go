package mongo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// metaDoc says what store this is. There is one, with _id metaStore.
type metaDoc struct {
	ID     string `bson:"_id"`
	Epoch  string `bson:"epoch"`
	Schema int    `bson:"schema"` // see migrate.go

	Version string `bson:"version,omitempty"` // what the Parley is called that made the schema

	Filling bool   `bson:"filling,omitempty"` // it is being made a copy
	Origin  string `bson:"origin,omitempty"`  // of what, if it is not of a store with the same epoch; it stays when it is one
}

// loadMeta reads the epoch, or makes it in a new store, and brings the schema up to
// date. A store that is being filled is no other store's, and no other store is
// filled.
func (s *Store) loadMeta(ctx context.Context, o Options) error {
	fill := o.fill
	var m metaDoc
	fresh := metaDoc{
		ID: metaStore, Epoch: fill.epoch, Schema: newestSchema(o.steps), Version: o.Version, Filling: fill.on, Origin: fill.origin,
	}
	if !fill.on {
		fresh.Epoch = parley.NewID(parley.PrefixEpoch)
	}
	if err := s.firstOf(ctx, s.c.meta, fresh.ID, fresh, &m); err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	switch {
	case !fill.on && m.Filling:
		return errors.New("this is a copy of another store, or of a backup, that was not finished: run the same parley migrate or parley restore again, or drop the database")
	case fill.origin != "" && !m.Filling && m.Origin == fill.origin:
		return ErrFilled
	case fill.on && !m.Filling:
		return errors.New("there is a store already; name a database that does not exist")
	case fill.on && (m.Origin != fill.origin || fill.origin == "" && m.Epoch != fill.epoch):
		return errors.New("this is an unfinished copy of something else; drop the database, or name another one")
	}
	s.epoch = m.Epoch
	s.generations.store = s
	return s.migrate(ctx, m.Schema, o)
}

// firstOf reads the document with that id, which is never changed, into found.
// If there is none it becomes fresh, unless somebody else is faster.
func (s *Store) firstOf(ctx context.Context, c *driver.Collection, id string, fresh, found any) error {
	return s.retry(ctx, "read or make "+c.Name(), func(ctx context.Context) error {
		err := c.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(found)
		if !errors.Is(err, driver.ErrNoDocuments) {
			return err
		}
		if _, err := c.InsertOne(ctx, fresh); err != nil && !driver.IsDuplicateKeyError(err) {
			return err
		}
		return unavailableIfNone(c.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(found))
	})
}

// unavailableIfNone makes not finding what must be there a fault that passes: the
// majority does not have it yet.
func unavailableIfNone(err error) error {
	if errors.Is(err, driver.ErrNoDocuments) {
		return unavailable(err)
	}
	return err
}

// secretDoc is a secret.
type secretDoc struct {
	Name  string `bson:"_id"`
	Value []byte `bson:"value"`
}

// Secret returns the store's secret of that name, made of n random bytes at the
// first call; n plays no part in later calls.
func (s *Store) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	if name == "" || n < 1 {
		return nil, parley.Errorf(parley.CodeInvalid, "a secret needs a name and a length")
	}
	fresh, found := secretDoc{Name: name, Value: make([]byte, n)}, secretDoc{}
	_, _ = rand.Read(fresh.Value) // never fails: crypto/rand ends the process instead
	if err := s.firstOf(ctx, s.c.secrets, name, fresh, &found); err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return found.Value, nil
}

// generationBlock is how many numbers are taken from the database at once.
const generationBlock = 1 << 20

// generations gives numbers that rise, across restarts too. A block of them is
// taken by comparing and setting one document; what is left of a block when the
// process ends is never used.
type generations struct {
	store *Store
	mu    sync.Mutex
	next  int64
	end   int64
}

// above returns a number that was never given before, higher than floor.
func (g *generations) above(ctx context.Context, floor int64) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = max(g.next, floor+1)
	if g.next >= g.end {
		if err := g.store.retry(ctx, "take generations", g.take); err != nil {
			return 0, err
		}
	}
	g.next++
	return g.next - 1, nil
}

type generationDoc struct {
	ID   string `bson:"_id"`
	Next int64  `bson:"next"` // the first that nobody has taken
}

func (g *generations) take(ctx context.Context) error {
	meta := g.store.c.meta
	doc := generationDoc{ID: "generation"}
	err := meta.FindOne(ctx, bson.D{{Key: "_id", Value: doc.ID}}).Decode(&doc)
	if errors.Is(err, driver.ErrNoDocuments) {
		doc.Next = 1
		if _, err = meta.InsertOne(ctx, doc); driver.IsDuplicateKeyError(err) {
			return unavailable(err)
		}
	}
	if err != nil {
		return err
	}
	first := max(doc.Next, g.next)
	r, err := meta.UpdateOne(ctx, bson.D{{Key: "_id", Value: doc.ID}, {Key: "next", Value: doc.Next}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "next", Value: first + generationBlock}}}})
	if err != nil {
		return err
	}
	if r.MatchedCount == 0 {
		return unavailable(errors.New("another process takes generations"))
	}
	g.next, g.end = first, first+generationBlock
	return nil
}

// loadNewest finds the newest server time, so that it does not fall.
func (s *Store) loadNewest(ctx context.Context) error {
	var newest struct {
		At int64 `bson:"at"`
	}
	err := s.c.entries.FindOne(ctx, bson.D{}, options.FindOne().SetSort(bson.D{{Key: "at", Value: -1}}).SetProjection(bson.D{{Key: "at", Value: 1}})).Decode(&newest)
	if err != nil && !errors.Is(err, driver.ErrNoDocuments) {
		return fmt.Errorf("read the newest server time: %w", err)
	}
	s.newest.Store(newest.At)
	return nil
}
