package ferret_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

func fillDatabase(t *testing.T, uri, epoch string) *mongo.Filling {
	t.Helper()
	f, err := mongo.Fill(t.Context(), mongo.Options{URI: uri, NoProbe: true, Attempt: 20 * time.Second, Patience: time.Minute}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMigrate copies an embedded store into a database, breaking off on the way, and
// from there into another embedded one. All three hold the same.
func TestMigrate(t *testing.T) {
	ctx := t.Context()
	from, err := sqlite.Open(ctx, sqlite.Options{Dir: filepath.Join(t.TempDir(), "from")})
	noError(t, err)
	t.Cleanup(func() { _ = from.Close() })
	storetest.Furnish(t, from, 60, 40)

	uri := ferret.Start(t)
	for _, after := range []int{0, 1, 5} {
		f := fillDatabase(t, uri, from.Epoch())
		_, err := mirror.Copy(ctx, from, &brokenOff{Fillable: f, after: after}, mirror.Options{})
		if !errors.Is(err, errBrokenOff) {
			t.Fatalf("broken off after %d writes: %v", after, err)
		}
		noError(t, f.Close())
		if _, err := mongo.Open(ctx, mongo.Options{URI: uri, NoProbe: true}); err == nil || !strings.Contains(err.Error(), "not finished") {
			t.Fatalf("an unfinished copy opens: %v", err)
		}
	}
	f := fillDatabase(t, uri, from.Epoch())
	_, err = mirror.Copy(ctx, from, f, mirror.Options{})
	noError(t, err)
	progress, err := mirror.Compare(ctx, from, f, mirror.Options{})
	noError(t, err)
	if progress.Entries < 600 || progress.Rows < 80 {
		t.Errorf("compared %+v", progress)
	}
	noError(t, f.Finish(ctx))
	noError(t, f.Close())
	if _, err := mongo.Fill(ctx, mongo.Options{URI: uri, NoProbe: true}, from.Epoch()); err == nil || !strings.Contains(err.Error(), "a store already") {
		t.Errorf("filled again: %v", err)
	}

	there := openStore(t, uri)
	back, err := sqlite.Fill(ctx, sqlite.Options{Dir: filepath.Join(t.TempDir(), "back")}, there.Epoch())
	noError(t, err)
	t.Cleanup(func() { _ = back.Close() })
	_, err = mirror.Copy(ctx, there, back, mirror.Options{})
	noError(t, err)
	_, err = mirror.Compare(ctx, from, back, mirror.Options{})
	noError(t, err)
	noError(t, back.Finish(ctx))
	livesOn(t, there)
	noError(t, there.Close())
}

// livesOn uses the copy as a server does: what was sent is a repeat, a device goes on
// where it was, and what is new gets a new place.
func livesOn(t *testing.T, s *mongo.Store) {
	t.Helper()
	ctx := t.Context()
	b, err := bridge.New(ctx, s, bridge.Options{})
	noError(t, err)
	visitor := parley.Identity{Site: "ste_a", User: "vis_3", Device: "dev_1", Role: parley.RoleVisitor}
	answers, err := b.Record(ctx, visitor, "cnv_3", []parley.Draft{parley.NewText("msg_000000", "<b>你好</b> 0"), parley.NewText("msg_new00", "new")})
	noError(t, err)
	if a := answers[0]; !a.Duplicate || !a.Entry.Redacted || answers[1].Err != nil || answers[1].Entry.Seq != 56 {
		t.Errorf("a repeat and a new message: %+v", answers)
	}
	page, err := b.History(ctx, visitor, "cnv_3", parley.HistoryQuery{From: parley.HistoryAfter, Limit: 1})
	noError(t, err)
	if page.First != 7 || page.Entries[0].Seq != 7 {
		t.Errorf("page %+v", page)
	}
	session, err := s.Connect(ctx, "ste_a.vis_3.dev_1", false, time.Hour)
	noError(t, err)
	cursors, err := s.Cursors(ctx, session.Device, []parley.Stream{parley.MessagesOf("ste_a", "cnv_3")})
	noError(t, err)
	if !session.Present || len(session.Subscriptions) != 2 || session.LastID != 77 || len(cursors) != 1 || cursors[0].Seq != 3 {
		t.Errorf("session %+v, cursors %+v", session, cursors)
	}
	noError(t, b.Close())
}

var errBrokenOff = errors.New("broken off")

// brokenOff fails for good after some writes, each of which is made twice.
type brokenOff struct {
	bridge.Fillable
	after int
}

func (b *brokenOff) next() error {
	if b.after--; b.after < 0 {
		return errBrokenOff
	}
	return nil
}

func (b *brokenOff) PutEntries(ctx context.Context, entries []parley.Entry) error {
	if err := b.next(); err != nil {
		return err
	}
	if err := b.Fillable.PutEntries(ctx, entries[:len(entries)/2]); err != nil {
		return err
	}
	return b.Fillable.PutEntries(ctx, entries)
}

func (b *brokenOff) PutRows(ctx context.Context, rows []bridge.Row) error {
	if err := b.next(); err != nil {
		return err
	}
	return b.Fillable.PutRows(ctx, rows)
}
