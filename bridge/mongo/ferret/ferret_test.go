package ferret_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/parley-chat/parley/bridge/mongo/ferret"
)

func connect(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	journaled := true
	client, err := mongo.Connect(options.Client().ApplyURI(uri).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: &journaled}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return client.Database(strings.Trim(u.Path, "/"))
}

// TestWhatTheStoreUses is what bridge/mongo needs of any server, in a few lines.
func TestWhatTheStoreUses(t *testing.T) {
	ctx := t.Context()
	entries := connect(t, ferret.Start(t)).Collection("entries")
	_, err := entries.Indexes().CreateMany(ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "stream", Value: 1}, {Key: "seq", Value: 1}}, Options: options.Index().SetUnique(true)},
		{Keys: bson.D{{Key: "stream", Value: 1}, {Key: "sender", Value: 1}, {Key: "id", Value: 1}}, Options: options.Index().SetUnique(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	entry := func(stream string, seq int64, id string) bson.D {
		return bson.D{{Key: "stream", Value: stream}, {Key: "seq", Value: seq}, {Key: "sender", Value: "s"}, {Key: "id", Value: id}}
	}
	insert := func(docs ...any) error {
		_, err := entries.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
		return err
	}
	if err := insert(entry("a", 1, "x"), entry("b", 1, "x")); err != nil {
		t.Fatal(err)
	}
	err = insert(entry("a", 1, "y"), entry("b", 2, "y"), entry("b", 3, "x"), entry("c", 1, "x"))
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) {
		t.Fatalf("an insert with two duplicates: %v", err)
	}
	refused := map[int]int{}
	for _, e := range bulk.WriteErrors {
		refused[e.Index] = e.Code
	}
	if len(refused) != 2 || refused[0] != 11000 || refused[2] != 11000 {
		t.Errorf("refused %v, want 0 and 2 as duplicates", refused)
	}
	cursor, err := entries.Find(ctx, bson.D{{Key: "stream", Value: "b"}}, options.Find().SetSort(bson.D{{Key: "seq", Value: -1}}).SetLimit(1))
	if err != nil {
		t.Fatal(err)
	}
	var newest []struct{ Seq int64 }
	if err := cursor.All(ctx, &newest); err != nil {
		t.Fatal(err)
	}
	if len(newest) != 1 || newest[0].Seq != 2 {
		t.Errorf("the newest of b: %v, want 2", newest)
	}
}
