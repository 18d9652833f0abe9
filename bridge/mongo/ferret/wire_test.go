package ferret_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// between starts a server and a proxy in front of it, and returns the URIs of both.
func between(t *testing.T) (p *wire.Proxy, through, direct string) {
	t.Helper()
	direct = ferret.Start(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = wire.Listen("127.0.0.1:0", u.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Limit(ferret.Capacity, ferret.AtOnce)
	if through, err = p.URI(direct); err != nil {
		t.Fatal(err)
	}
	return p, through, direct
}

// at breaks the n-th command of a name.
func at(name string, n int, f wire.Fault) func(wire.Command) wire.Fault {
	return func(c wire.Command) wire.Fault {
		if c.Name == name && c.Nth == n {
			return f
		}
		return wire.Fault{}
	}
}

// outcome is what an insert of three documents came to.
type outcome struct {
	Codes   map[int]int // of documents, by index
	Command int         // the code of the command
	Network bool
	Timeout bool
	Concern bool
	Written []int32
}

func insertThree(ctx context.Context, c *mongo.Collection) (o outcome) {
	docs := []any{bson.D{{Key: "_id", Value: 0}}, bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "_id", Value: 2}}}
	_, err := c.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	o.Network, o.Timeout = mongo.IsNetworkError(err), mongo.IsTimeout(err)
	var bulk mongo.BulkWriteException
	if errors.As(err, &bulk) {
		o.Concern = bulk.WriteConcernError != nil
		for _, e := range bulk.WriteErrors {
			if o.Codes == nil {
				o.Codes = map[int]int{}
			}
			o.Codes[e.Index] = e.Code
		}
	}
	var command mongo.CommandError
	if errors.As(err, &command) {
		o.Command = int(command.Code)
	}
	return o
}

func written(t *testing.T, c *mongo.Collection) (all []int32) {
	t.Helper()
	cursor, err := c.Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []struct {
		ID int32 `bson:"_id"`
	}
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		all = append(all, d.ID)
	}
	return all
}

func TestFaultsOnTheWire(t *testing.T) {
	all, none := []int32{0, 1, 2}, []int32(nil)
	p, through, direct := between(t)
	broken, seen := connect(t, through), connect(t, direct)
	for _, c := range []struct {
		fault wire.Fault
		limit time.Duration // of the insert, where something must end it
		want  outcome
	}{
		{wire.Fault{}, 0, outcome{Written: all}},
		{wire.Code(wire.NotPrimary, wire.Before), 0, outcome{Command: wire.NotPrimary, Written: none}},
		{wire.Code(wire.NotPrimary, wire.After), 0, outcome{Command: wire.NotPrimary, Written: all}},
		{wire.Code(wire.SteppedDown, wire.Before), 0, outcome{Command: wire.SteppedDown, Written: none}},
		{wire.Code(wire.SteppedDown, wire.After), 0, outcome{Command: wire.SteppedDown, Written: all}},
		{wire.Code(wire.ShuttingDown, wire.Before), 0, outcome{Command: wire.ShuttingDown, Written: none}},
		{wire.Code(wire.ShuttingDown, wire.After), 0, outcome{Command: wire.ShuttingDown, Written: all}},
		{wire.Reset(wire.Before), 0, outcome{Network: true, Written: none}},
		{wire.Reset(wire.After), 0, outcome{Network: true, Written: all}},
		{wire.CutInside(wire.Before), 0, outcome{Network: true, Written: none}},
		{wire.CutInside(wire.After), 0, outcome{Network: true, Written: all}},
		{wire.Hang(wire.Before), 100 * time.Millisecond, outcome{Network: true, Timeout: true, Written: none}},
		{wire.Hang(wire.After), 100 * time.Millisecond, outcome{Network: true, Timeout: true, Written: all}},
		{wire.Belated(), 100 * time.Millisecond, outcome{Network: true, Timeout: true, Written: all}},
		{wire.Delay(time.Millisecond, wire.Before), 0, outcome{Written: all}},
		{wire.Delay(time.Millisecond, wire.After), 0, outcome{Written: all}},
		{wire.Refuse(0, wire.IllegalOperation, wire.Before), 0, outcome{Codes: map[int]int{0: wire.IllegalOperation}, Written: []int32{1, 2}}},
		{wire.Refuse(1, wire.IllegalOperation, wire.Before), 0, outcome{Codes: map[int]int{1: wire.IllegalOperation}, Written: []int32{0, 2}}},
		{wire.Refuse(2, wire.IllegalOperation, wire.After), 0, outcome{Codes: map[int]int{2: wire.IllegalOperation}, Written: all}},
		{wire.Refuse(3, wire.IllegalOperation, wire.Before), 0, outcome{Written: all}},
		{wire.ConcernTimeout(), 0, outcome{Concern: true, Written: all}},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if c.limit > 0 {
				// The first command after a change of roles waits until the driver has looked again.
				if err := broken.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err(); err != nil {
					t.Fatal(err)
				}
				ctx, cancel = context.WithTimeout(t.Context(), c.limit)
			}
			defer cancel()
			name := "numbers"
			if _, err := seen.Collection(name).DeleteMany(t.Context(), bson.D{}); err != nil {
				t.Fatal(err)
			}
			p.Break(at("insert", p.Counts()["insert"].Commands+1, c.fault))
			got := insertThree(ctx, broken.Collection(name))
			p.Break(nil)
			await(t, func() bool {
				got.Written = written(t, seen.Collection(name))
				return cmp.Equal(got, c.want)
			}, func() string { return cmp.Diff(c.want, got) })
		})
	}
	if got := p.Counts()["insert"]; got.Documents != 3*got.Commands {
		t.Errorf("counted %+v, want 3 documents for each", got)
	}
}

// await polls, as belated writes come when they come.
func await(t *testing.T, done func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error(why())
			return
		}
	}
}

func TestRefusedAmongDuplicates(t *testing.T) {
	p, through, direct := between(t)
	if _, err := connect(t, direct).Collection("numbers").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 2}}); err != nil {
		t.Fatal(err)
	}
	p.Break(at("insert", 1, wire.Refuse(1, wire.IllegalOperation, wire.Before)))
	got := insertThree(t.Context(), connect(t, through).Collection("numbers"))
	if want := map[int]int{1: wire.IllegalOperation, 2: 11000}; !cmp.Equal(got.Codes, want) {
		t.Errorf("refused %v, want %v", got.Codes, want)
	}
}

func TestRefusedUpdatesAndDeletes(t *testing.T) {
	p, through, _ := between(t)
	c := connect(t, through).Collection("numbers")
	insertThree(t.Context(), c)
	p.Break(func(wire.Command) wire.Fault { return wire.Refuse(0, wire.IllegalOperation, wire.Before) })
	filter := bson.D{{Key: "_id", Value: 1}}
	var refused mongo.WriteException
	if _, err := c.UpdateOne(t.Context(), filter, bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}); !errors.As(err, &refused) {
		t.Errorf("update: %v, want it refused", err)
	}
	if _, err := c.DeleteMany(t.Context(), filter); !errors.As(err, &refused) {
		t.Errorf("delete: %v, want it refused", err)
	}
	p.Break(nil)
	if n, err := c.CountDocuments(t.Context(), bson.D{}); n != 3 || err != nil {
		t.Errorf("%d are left (%v), want 3", n, err)
	}
}

func TestDownAndUp(t *testing.T) {
	p, through, _ := between(t)
	db := connect(t, through)
	ping := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return db.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Err()
	}
	for range 2 {
		if err := ping(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		p.Down()
		p.Down()
		if err := ping(100 * time.Millisecond); err == nil {
			t.Error("down, and answering")
		}
		for range 2 {
			if err := p.Up(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := ping(10 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestLimit lets a server that takes one command at a time be asked many things at once,
// by clients of whom half do not wait.
func TestLimit(t *testing.T) {
	p, through, direct := between(t)
	p.Limit(1, 1)
	p.Break(func(c wire.Command) wire.Fault {
		if c.Name != "insert" {
			return wire.Fault{}
		}
		return wire.Delay(20*time.Millisecond, wire.Before)
	})
	c := connect(t, through).Collection("numbers")
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			limit := 20 * time.Second
			if n%2 == 1 {
				limit = 10 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if _, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: n}}); (err == nil) != (n%2 == 0) {
				t.Errorf("%d: %v", n, err)
			}
		})
	}
	all.Wait()
	if got := written(t, connect(t, direct).Collection("numbers")); len(got) < 10 {
		t.Errorf("%v are written, want at least 10", got)
	}
}

// TestManyUpdates makes several large updates at once, each of which would bring FerretDB
// to a halt.
func TestManyUpdates(t *testing.T) {
	_, through, _ := between(t)
	c := connect(t, through).Collection("numbers")
	var models []mongo.WriteModel
	for n := range 150 {
		models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: n}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: 1}}}}).SetUpsert(true))
	}
	if _, err := c.BulkWrite(t.Context(), models, options.BulkWrite().SetOrdered(false)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if _, err := c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestSet shows what drivers do with a replica set: they repeat writes by themselves,
// and without a primary they do not even try.
func TestSet(t *testing.T) {
	p, _, direct := between(t)
	p.InSet("rs")
	through, err := p.URI(direct)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, through).Collection("numbers")
	p.Break(at("insert", 1, wire.Code(wire.SteppedDown, wire.Before)))
	if got := insertThree(t.Context(), c); !cmp.Equal(got, outcome{}) {
		t.Errorf("an insert that the driver could repeat: %+v", got)
	}
	if n := p.Counts()["insert"].Commands; n != 2 {
		t.Errorf("%d inserts, want 2", n)
	}
	p.Break(nil)
	p.Primary(false)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: 7}}); err == nil {
		t.Error("written without a primary")
	}
	p.Primary(true)
	p.Cut()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.InsertOne(ctx, bson.D{{Key: "_id", Value: 8}}); err != nil {
		t.Errorf("with a primary again: %v", err)
	}
}
