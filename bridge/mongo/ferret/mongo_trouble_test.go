package ferret_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// TestProbe opens a store as the server does. The embedded database loses updates;
// one that does not is let in. Either way nothing of the probe stays.
func TestProbe(t *testing.T) {
	uri := ferret.Start(t)
	s, err := mongo.Open(t.Context(), mongo.Options{URI: uri})
	if err == nil {
		mustClose(t, s)
	}
	if embedded := os.Getenv(ferret.Elsewhere) == ""; embedded != (err != nil && strings.Contains(err.Error(), "loses updates")) {
		t.Errorf("opened on an embedded database %t: %v", embedded, err)
	}
	names, err := connect(t, uri).ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "probe") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestTrouble takes the database away and brings it back, in three ways. Meanwhile
// callers get a temporary error in time and the store is not ready; then it goes
// on by itself. What a caller could not learn is there once.
func TestTrouble(t *testing.T) {
	const attempt, patience = time.Second, 2 * time.Second
	for name, c := range map[string]struct{ begin, end func(*testing.T, *wire.Proxy) }{
		"gone": {
			func(_ *testing.T, p *wire.Proxy) { p.Down() },
			func(t *testing.T, p *wire.Proxy) {
				if err := p.Up(); err != nil {
					t.Fatal(err)
				}
			}},
		"hung": {
			func(_ *testing.T, p *wire.Proxy) {
				p.Break(func(wire.Command) wire.Fault { return wire.Hang(wire.Before) })
			},
			func(_ *testing.T, p *wire.Proxy) { p.Break(nil) }},
		"hung after the write": {
			func(_ *testing.T, p *wire.Proxy) {
				p.Break(func(wire.Command) wire.Fault { return wire.Hang(wire.After) })
			},
			func(_ *testing.T, p *wire.Proxy) { p.Break(nil) }},
		"not primary": {
			func(_ *testing.T, p *wire.Proxy) {
				p.Break(func(wire.Command) wire.Fault { return wire.Code(wire.NotPrimary, wire.Before) })
			},
			func(_ *testing.T, p *wire.Proxy) { p.Break(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			p, through, _ := between(t)
			s := openWith(t, mongo.Options{URI: through, Attempt: attempt, Patience: patience})
			stream := conversation(1)
			mustAppend(t, s, stream, draft("vis_a", "msg_0001", "one"))
			ready(t, s)
			c.begin(t, p)
			began := time.Now()
			e := draft("vis_a", "msg_0002", "two")
			_, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
			if err == nil || !parley.ErrorOf(err).Code.Retry() {
				t.Errorf("append: %v, want a temporary error", err)
			}
			if _, err := s.Read(t.Context(), stream, 0, 1); err == nil {
				t.Error("read")
			}
			if took := time.Since(began); took > 20*time.Second { // 2 × 2 s, and what a busy machine adds
				t.Errorf("callers waited %s", took)
			}
			if err := s.Ready(t.Context()); err == nil {
				t.Error("ready")
			}
			c.end(t, p)
			ready(t, s)
			answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
			if err != nil || answers[0].Err != nil || answers[0].Entry.Seq != 2 {
				t.Errorf("append again: %+v, %v; want seq 2", answers, err)
			}
			mustAppend(t, s, stream, draft("vis_a", "msg_0003", "three"))
			mustClose(t, s)
			nothingRuns(t)
		})
	}
}

// TestLateEntryIsToldLater keeps an entry of one stream back while another stream
// goes on, until its server time has passed: it gets a later one, everywhere.
func TestLateEntryIsToldLater(t *testing.T) {
	p, through, direct := between(t)
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	s := openWith(t, mongo.Options{URI: through, Now: func() time.Time { return time.UnixMilli(now.Load()) }})
	newest := int64(0)
	s.Watch(func(entries []parley.Entry) {
		for _, e := range entries {
			if e.At < newest {
				t.Errorf("%s %d of %d is told behind %d", e.Stream, e.Seq, e.At, newest)
			}
			newest = e.At
		}
	})
	slow, quick := conversation(1), conversation(2)
	mustAppend(t, s, slow, draft("vis_a", "msg_0001", "one"))
	mustAppend(t, s, quick, draft("vis_a", "msg_0001", "one"))
	p.Break(func(c wire.Command) wire.Fault {
		if c.Name == "insert" && c.Collection == "entries" {
			return wire.Refuse(0, wire.ShuttingDown, wire.Before) // the oldest one comes first
		}
		return wire.Fault{}
	})
	late := make(chan []parley.Appended, 1)
	go func() {
		answers, err := s.Append(context.Background(), slow, []parley.Entry{draft("vis_a", "msg_0002", "two")}, parley.ExpectAny)
		if err != nil {
			t.Errorf("append: %v", err)
		}
		late <- answers
	}()
	await(t, func() bool { return s.Ready(t.Context()) != nil }, func() string { return "nothing is unresolved" })
	at := mustAppend(t, s, quick, draft("vis_a", "msg_0002", "two")).At
	if at != now.Load() { // time stands still for it, at first
		t.Errorf("server time %d, want %d", at, now.Load())
	}
	now.Add(time.Minute.Milliseconds())
	if at = mustAppend(t, s, quick, draft("vis_a", "msg_0003", "three")).At; at != now.Load() {
		t.Errorf("server time %d, want %d", at, now.Load())
	}
	p.Break(nil)
	answers := <-late
	mustClose(t, s)
	if len(answers) != 1 || answers[0].Entry.Seq != 2 || answers[0].Entry.At < at {
		t.Fatalf("%+v, want seq 2, not before %d", answers, at)
	}
	s = openStore(t, direct)
	defer func() { mustClose(t, s) }()
	stored, err := s.Read(t.Context(), slow, 1, 10)
	must(t, err)
	if d := cmp.Diff([]parley.Entry{answers[0].Entry}, stored); d != "" {
		t.Errorf("stored (-answered +stored):\n%s", d)
	}
}

// TestCloseWithoutDatabase closes a store whose appends cannot be resolved.
func TestCloseWithoutDatabase(t *testing.T) {
	p, through, _ := between(t)
	s := openWith(t, mongo.Options{URI: through, Attempt: time.Second, Patience: time.Minute})
	mustAppend(t, s, conversation(1), draft("vis_a", "msg_0001", "one"))
	p.Down()
	failed := make(chan error)
	go func() {
		_, err := s.Append(context.Background(), conversation(1), []parley.Entry{draft("vis_a", "msg_0002", "two")}, parley.ExpectAny)
		failed <- err
	}()
	await(t, func() bool { return s.Ready(t.Context()) != nil && s.Stats().Failures > 0 }, func() string { return "no failure" })
	mustClose(t, s)
	if err := <-failed; !errors.Is(err, parley.ErrOutcomeUnknown) {
		t.Errorf("append: %v, want %v", err, parley.ErrOutcomeUnknown)
	}
	nothingRuns(t)
}

// TestDeleteAfterACrash makes what a process leaves that was killed while it
// deleted: the note is there, its entry or the blanking is not.
func TestDeleteAfterACrash(t *testing.T) {
	for name, c := range map[string]struct {
		seq      int64 // that the delete was given
		inserted bool
		want     int // entries
		redacted bool
	}{
		"before the insert":      {seq: 3, want: 3, redacted: true},
		"before the blanking":    {seq: 3, inserted: true, want: 3, redacted: true},
		"its place was not free": {seq: 2, want: 2, redacted: false},
	} {
		t.Run(name, func(t *testing.T) {
			uri := ferret.Start(t)
			db := connect(t, uri)
			s := openStore(t, uri)
			stream := conversation(1)
			mustAppend(t, s, stream, draft("vis_a", "msg_0001", "secret"))
			mustAppend(t, s, stream, draft("vis_a", "msg_0002", "other"))
			mustClose(t, s)
			entry := bson.D{
				{Key: "_id", Value: bson.NewObjectID()}, {Key: "stream", Value: string(stream)}, {Key: "seq", Value: c.seq}, {Key: "id", Value: "msg_0003"},
				{Key: "sender", Value: "vis_a"}, {Key: "role", Value: "visitor"}, {Key: "type", Value: "delete"}, {Key: "body", Value: []byte(`{"seq":1}`)},
				{Key: "at", Value: int64(1)}, {Key: "count", Value: int64(2)}, {Key: "control", Value: int64(0)}, {Key: "target", Value: int64(1)}, {Key: "digest", Value: []byte("d")},
			}
			insertOne(t, db.Collection("deletes"), bson.D{{Key: "_id", Value: entry[0].Value}, {Key: "entry", Value: entry}})
			if c.inserted {
				insertOne(t, db.Collection("entries"), entry)
			}
			s = openStore(t, uri)
			defer mustClose(t, s)
			entries, err := s.Read(t.Context(), stream, 0, 10)
			must(t, err)
			if len(entries) != c.want || entries[0].Redacted != c.redacted || entries[c.want-1].At < entries[0].At {
				t.Errorf("%+v, want %d entries, the first redacted %t", entries, c.want, c.redacted)
			}
			left, err := db.Collection("deletes").CountDocuments(t.Context(), bson.D{})
			must(t, err)
			if left != 0 {
				t.Errorf("%d notes are left", left)
			}
			var stored struct{ Body []byte }
			must(t, db.Collection("entries").FindOne(t.Context(), bson.D{{Key: "seq", Value: 1}}).Decode(&stored))
			if c.redacted != (string(stored.Body) == "{}") {
				t.Errorf("stored is %s", stored.Body)
			}
		})
	}
}

// TestRepeatsOfWhatIsRemembered repeats what has just come: nobody asks the database.
func TestRepeatsOfWhatIsRemembered(t *testing.T) {
	uri := ferret.Start(t)
	m := newMonitor(t)
	s := openWith(t, mongo.Options{URI: uri, Commands: m.command})
	defer func() { mustClose(t, s) }()
	e := draft("vis_a", "msg_0001", "one")
	first := mustAppend(t, s, conversation(1), e)
	m.since()
	answers, err := s.Append(t.Context(), conversation(1), []parley.Entry{e}, parley.ExpectAny)
	must(t, err)
	if d := cmp.Diff([]parley.Appended{{Entry: first, Duplicate: true}}, answers); d != "" {
		t.Errorf("repeat (-want +got):\n%s", d)
	}
	if counts := m.since(); len(counts) > 0 {
		t.Errorf("a repeat of what has just come took %v", counts)
	}
}

func mustAppend(t *testing.T, s *mongo.Store, stream parley.Stream, e parley.Entry) parley.Entry {
	t.Helper()
	answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
	if err != nil || answers[0].Err != nil || answers[0].Duplicate {
		t.Fatalf("append: %+v, %v", answers, err)
	}
	return answers[0].Entry
}

func insertOne(t *testing.T, c *driver.Collection, doc bson.D) {
	t.Helper()
	_, err := c.InsertOne(t.Context(), doc)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ready waits until the store says that it can write.
func ready(t *testing.T, s *mongo.Store) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.Ready(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", err)
		}
	}
}

// nothingRuns fails the test if goroutines of a store are left.
func nothingRuns(t *testing.T) {
	t.Helper()
	var stacks string
	await(t, func() bool {
		buf := make([]byte, 4<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "parley/bridge/mongo.(")
	}, func() string { return stacks })
}

// TestRefusedEntriesLeaveNothing has more bytes refused than the store holds at once: what
// was refused makes room for what comes.
func TestRefusedEntriesLeaveNothing(t *testing.T) {
	s := openStore(t, ferret.Start(t))
	defer mustClose(t, s)
	mustAppend(t, s, conversation(1), draft("vis_a", "msg_0001", "the first one"))
	entries := make([]parley.Entry, bridge.MaxAppend)
	for i := range entries {
		entries[i] = draft("vis_a", "msg_0001", strings.Repeat("x", parley.MaxBodyBytes-100))
		entries[i].Digest = []byte("another one")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 5 {
		answers, err := s.Append(ctx, conversation(1), entries, parley.ExpectAny)
		must(t, err)
		for _, a := range answers {
			if e := parley.ErrorOf(a.Err); e == nil || e.Code != parley.CodeConflict {
				t.Fatalf("answer %+v", a)
			}
		}
	}
	_, err := s.Append(ctx, conversation(2), []parley.Entry{draft("vis_a", "msg_0002", "the second one")}, parley.ExpectAny)
	must(t, err)
}

// TestManyUnresolved loses the answers to inserts in many streams, on a database that is too
// slow to look for all of them at once afterwards.
func TestManyUnresolved(t *testing.T) {
	p, through, direct := between(t)
	s := openWith(t, mongo.Options{URI: through, Attempt: 2 * time.Second, Patience: time.Minute})
	defer func() { mustClose(t, s) }()
	const many, few = 20, 8
	for n := range many {
		mustAppend(t, s, conversation(n), draft("vis_a", "msg_0001", "one"))
	}
	var lost atomic.Bool
	lost.Store(true)
	p.Break(func(c wire.Command) wire.Fault {
		places, err := c.Body.LookupErr("filter", "$or")
		switch {
		case c.Collection != "entries":
		case c.Name == "insert" && lost.Load():
			return wire.Reset(wire.After)
		case c.Name == "find" && err == nil && len(elements(places)) > few:
			return wire.Hang(wire.Before)
		}
		return wire.Fault{}
	})
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			answers, err := s.Append(t.Context(), conversation(n), []parley.Entry{draft("vis_a", "msg_0002", "two")}, parley.ExpectAny)
			if err != nil || answers[0].Err != nil || answers[0].Entry.Seq != 2 {
				t.Errorf("append: %+v, %v; want seq 2", answers, err)
			}
		})
	}
	entries := connect(t, direct).Collection("entries")
	await(t, func() bool {
		n, err := entries.CountDocuments(t.Context(), bson.D{})
		return err == nil && n == 2*many
	}, func() string { return "not all are there" })
	lost.Store(false)
	all.Wait()
	p.Break(nil)
	ready(t, s)
}

func elements(array bson.RawValue) []bson.RawValue {
	values, _ := array.Array().Values()
	return values
}
