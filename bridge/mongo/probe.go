package mongo

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// In the probe so many raise one number at once, so many times: a quick server that loses
// updates does not lose one every time.
const (
	raisers = 50
	raises  = 8
)

// probe refuses a server on which the store would lose what it acknowledged: one
// that lets a second document have a unique key, or forgets updates that come at
// the same time. It uses a collection of its own, and removes it.
func (s *Store) probe(ctx context.Context) (err error) {
	c := s.c.db.Collection("probe_" + parley.NewID(parley.PrefixEpoch))
	defer func() { err = errors.Join(err, c.Drop(ctx)) }()
	if _, err := c.Indexes().CreateOne(ctx, driver.IndexModel{
		Keys: bson.D{{Key: "key", Value: 1}}, Options: options.Index().SetName("key").SetUnique(true),
	}); err != nil {
		return fmt.Errorf("probe the server: make a unique index: %w", err)
	}
	if _, err := c.InsertOne(ctx, bson.D{{Key: "key", Value: 1}, {Key: "n", Value: int64(0)}}); err != nil {
		return fmt.Errorf("probe the server: %w", err)
	}
	switch _, err := c.InsertOne(ctx, bson.D{{Key: "key", Value: 1}}); {
	case err == nil:
		return errors.New("this server cannot be used: it does not keep unique indexes (a second document got in)")
	case !driver.IsDuplicateKeyError(err):
		return fmt.Errorf("probe the server: %w", err)
	}
	for range raises {
		if err := raise(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// raise lets all raise the number once, and looks whether it has risen so far.
func raise(ctx context.Context, c *driver.Collection) error {
	one := bson.D{{Key: "key", Value: 1}}
	if _, err := c.UpdateOne(ctx, one, set(field("n", int64(0)))); err != nil {
		return fmt.Errorf("probe the server: %w", err)
	}
	var group sync.WaitGroup
	errs := make([]error, raisers)
	for i := range errs {
		group.Go(func() {
			_, errs[i] = c.UpdateOne(ctx, one, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: int64(1)}}}})
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("probe the server: %w", err)
	}
	var raised struct {
		N int64 `bson:"n"`
	}
	if err := c.FindOne(ctx, one).Decode(&raised); err != nil {
		return fmt.Errorf("probe the server: %w", err)
	}
	if raised.N != raisers {
		return fmt.Errorf("this server cannot be used: it loses updates (of %d at the same time %d were kept)", raisers, raised.N)
	}
	return nil
}
