package mongo_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-chat/parley/bridge/mongo"
)

// little is a server that keeps what says what store it has, and nothing else.
type little struct {
	mu      sync.Mutex
	store   bson.M
	written []string // commands that write, with their collection
}

func (l *little) answer(command string, body bson.Raw) bson.D {
	l.mu.Lock()
	defer l.mu.Unlock()
	about, _ := body.Lookup(command).StringValueOK()
	switch command {
	case "hello", "isMaster", "ismaster":
		return greeting()
	case "buildInfo":
		return bson.D{{Key: "ok", Value: 1}, {Key: "version", Value: "7.0.0"}}
	case "find":
		return l.find(about, body)
	case "insert", "update", "createIndexes":
		l.written = append(l.written, command+" "+about)
		return l.write(command, about, body)
	}
	return bson.D{{Key: "ok", Value: 1}}
}

func (l *little) find(about string, body bson.Raw) bson.D {
	batch := bson.A{}
	id, _ := body.Lookup("filter", "_id").StringValueOK()
	if about == "meta" && (id == "store" || id == "") && l.store != nil {
		batch = append(batch, l.store)
	}
	if about == "meta" && id == "index" { // up to date
		batch = append(batch, bson.M{"_id": "index", "version": 1 << 20})
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.M{"id": int64(0), "ns": "parley." + about, "firstBatch": batch}}}
}

func (l *little) write(command, about string, body bson.Raw) bson.D {
	n := 1
	switch {
	case about != "meta":
	case command == "insert":
		var doc bson.M
		if bson.Unmarshal(body.Lookup("documents", "0").Document(), &doc) == nil && doc["_id"] == "store" {
			l.store = doc
		}
	case command == "update":
		var u struct{ Q, U bson.M }
		if bson.Unmarshal(body.Lookup("updates", "0").Document(), &u) != nil || u.Q["_id"] != "store" {
			break
		}
		if n = 0; u.Q["schema"] == l.store["schema"] {
			n = 1
			changes, _ := u.U["$set"].(bson.D)
			for _, field := range changes {
				l.store[field.Key] = field.Value
			}
		}
	}
	return bson.D{{Key: "ok", Value: 1}, {Key: "n", Value: n}, {Key: "nModified", Value: n}}
}

func (l *little) schema() (version int32, by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	version, _ = l.store["schema"].(int32)
	by, _ = l.store["version"].(string)
	return version, by
}

// TestMigrations brings a database from version to version. A step that is broken
// off is made again, one that is done is not, and who is older is sent away before
// it has written anything.
func TestMigrations(t *testing.T) {
	l := &little{}
	addr := serve(t, l.answer).addr
	var done []string
	step := func(name string, err error) func(context.Context) error {
		return func(context.Context) error {
			done = append(done, name)
			return err
		}
	}
	try := func(version string, steps ...func(context.Context) error) error {
		t.Helper()
		done = nil
		o := mongo.Options{URI: "mongodb://" + addr, NoProbe: true, Attempt: 5 * time.Second, Version: version}
		s, err := mongo.Open(t.Context(), o.WithSteps(steps...))
		if err == nil {
			err = s.Close()
		}
		return err
	}
	expect := func(err error, want []string, version int32, by string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, done); d != "" {
			t.Errorf("steps (-want +got):\n%s", d)
		}
		if v, b := l.schema(); v != version || b != by {
			t.Errorf("schema %d by %q, want %d by %q", v, b, version, by)
		}
	}
	expect(try("Parley v1"), nil, 1, "Parley v1")
	expect(try("Parley v2", step("2", nil)), []string{"2"}, 2, "Parley v2")
	expect(try("Parley v2", step("2", nil)), nil, 2, "Parley v2")

	broken := errors.New("broken off")
	if err := try("Parley v3", step("2", nil), step("3", nil), step("4", broken)); !errors.Is(err, broken) || !strings.Contains(err.Error(), "version 4") {
		t.Errorf("a step that fails: %v", err)
	}
	if v, _ := l.schema(); v != 3 {
		t.Errorf("schema %d after the third step, want 3", v)
	}
	expect(try("Parley v3", step("2", nil), step("3", nil), step("4", nil)), []string{"4"}, 4, "Parley v3")

	l.written = nil
	err := try("Parley v2", step("2", nil))
	for _, want := range []string{"schema version 4", "written by Parley v3", "Parley v2 is older", "up to 2", "restore"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an older Parley says %v, want %q in it", err, want)
		}
	}
	if len(l.written) > 0 {
		t.Errorf("it wrote before it refused: %v", slices.Compact(l.written))
	}
	l.store = nil
	expect(try("Parley v3", step("2", nil), step("3", nil)), nil, 3, "Parley v3") // a new one needs no steps
}
