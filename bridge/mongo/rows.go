package mongo

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// row is a document that replaces the one with its id, if that is older. Document
// has the id in front.
type row struct {
	id       string
	older    bson.D // matches documents that it replaces
	document bson.D
}

// saveRows writes rows of which no two have one id, most of them of documents that
// are there: then one command is enough. It does no harm when it is made twice.
//
// An upsert would need one command less for the others, but would make a second
// document of what is newer: the unique index says no, and some servers end the
// whole command then.
func (s *Store) saveRows(ctx context.Context, c *driver.Collection, rows []row) error {
	s.counters.writes.Add(1)
	replaced, err := replaceRows(ctx, c, rows)
	if err != nil || replaced == len(rows) {
		return err
	}
	there, err := insertRows(ctx, c, rows)
	if err != nil || replaced == len(there) {
		return err
	}
	_, err = replaceRows(ctx, c, there) // what is newer stays; somebody else may have made the others in between
	return err
}

// saveNewRows is saveRows for documents most of which are not there.
func (s *Store) saveNewRows(ctx context.Context, c *driver.Collection, rows []row) error {
	s.counters.writes.Add(1)
	there, err := insertRows(ctx, c, rows)
	if err != nil || len(there) == 0 {
		return err
	}
	_, err = replaceRows(ctx, c, there)
	return err
}

// replaceRows replaces the documents that are there and older, and returns how
// many these are.
func replaceRows(ctx context.Context, c *driver.Collection, rows []row) (int, error) {
	models := make([]driver.WriteModel, len(rows))
	for i, r := range rows {
		filter := append(bson.D{field("_id", r.id)}, r.older...)
		models[i] = driver.NewUpdateOneModel().SetFilter(filter).SetUpdate(bson.D{{Key: "$set", Value: r.document[1:]}})
	}
	result, err := c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return 0, err
	}
	return int(result.MatchedCount), nil
}

// insertRows inserts the rows whose ids are not there, and returns the others.
func insertRows(ctx context.Context, c *driver.Collection, rows []row) (there []row, err error) {
	docs := make([]bson.D, len(rows))
	for i, r := range rows {
		docs[i] = r.document
	}
	_, err = c.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	if !onlyDuplicates(err) {
		return nil, err
	}
	var bulk driver.BulkWriteException
	if errors.As(err, &bulk) {
		for _, e := range bulk.WriteErrors {
			there = append(there, rows[e.Index])
		}
	}
	return there, nil
}
