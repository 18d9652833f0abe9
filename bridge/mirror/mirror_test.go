package mirror_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fill(t *testing.T, dir, epoch string) *sqlite.Filling {
	t.Helper()
	f, err := sqlite.Fill(t.Context(), sqlite.Options{Dir: dir}, epoch)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// world is a store with something of everything.
func world(t *testing.T) *sqlite.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, s, 1100, 700) // more than fits on a page
	return s
}

func TestMirror(t *testing.T) {
	from := world(t)
	t.Run("a copy that is broken off goes on", func(t *testing.T) { copies(t, from) })
	t.Run("a comparison finds what differs", func(t *testing.T) { differs(t, from) })
	t.Run("a comparison finds one byte", func(t *testing.T) { oneByte(t, from) })
}

// copies copies a store, breaking off after every number of writes, and compares.
func copies(t *testing.T, from *sqlite.Store) {
	dir := filepath.Join(t.TempDir(), "to")
	broken := 0
	for done := false; !done; broken++ {
		f := fill(t, dir, from.Epoch())
		_, err := mirror.Copy(t.Context(), from, &breaking{Fillable: f, after: 1 + broken%7}, mirror.Options{})
		if done = err == nil; !done && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if broken > 200 {
			t.Fatal("it never comes to an end")
		}
		must(t, f.Close())
		if _, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not finished") {
			t.Fatalf("an unfinished copy opens: %v", err)
		}
		if broken%7 == 6 { // rows are always written all: without this they would never be
			f = fill(t, dir, from.Epoch())
			_, err := mirror.Copy(t.Context(), from, f, mirror.Options{})
			must(t, err)
			must(t, f.Close())
			done = true
		}
	}
	var told mirror.Progress
	f := fill(t, dir, from.Epoch())
	progress, err := mirror.Compare(t.Context(), from, f, mirror.Options{Tell: func(p mirror.Progress) { told = p }})
	must(t, err)
	if progress.Entries < 1600 || progress.Streams < 36 || progress.Rows < 700 || told != progress {
		t.Errorf("compared %+v, told %+v", progress, told)
	}
	must(t, f.Finish(t.Context()))
	must(t, f.Close())
	lives(t, from, dir)
}

// lives opens the copy as a server does.
func lives(t *testing.T, from *sqlite.Store, dir string) {
	t.Helper()
	ctx := t.Context()
	to := open(t, dir)
	must(t, to.Verify(ctx))
	b, err := bridge.New(ctx, to, bridge.Options{})
	must(t, err)
	defer func() { must(t, b.Close()) }()
	visitor := parley.Identity{Site: "ste_a", User: "vis_3", Device: "dev_1", Role: parley.RoleVisitor}
	page, err := b.History(ctx, visitor, "cnv_3", parley.HistoryQuery{From: parley.HistoryAfter, Limit: 2})
	must(t, err)
	if to.Epoch() != from.Epoch() || page.First != 7 || len(page.Entries) != 2 || page.Entries[0].Seq != 7 {
		t.Errorf("epoch %s of %s, page %+v", to.Epoch(), from.Epoch(), page)
	}
	answers, err := b.Record(ctx, visitor, "cnv_3", []parley.Draft{parley.NewText("msg_000000", "<b>你好</b> 0"), parley.NewText("msg_new00", "new")})
	must(t, err)
	head, err := from.Head(ctx, parley.MessagesOf("ste_a", "cnv_3"))
	must(t, err)
	if a := answers[0]; !a.Duplicate || !a.Entry.Redacted || answers[1].Err != nil || answers[1].Entry.Seq <= head.Seq {
		t.Errorf("a repeat and a new message: %+v", answers)
	}
	if _, err := sqlite.Fill(ctx, sqlite.Options{Dir: t.TempDir()}, ""); err == nil {
		t.Error("filled without an epoch")
	}
}

var errBroken = errors.New("broken off")

// breaking fails for good after some writes.
type breaking struct {
	bridge.Fillable
	after int
}

func (b *breaking) next() error {
	if b.after--; b.after < 0 {
		return errBroken
	}
	return nil
}

func (b *breaking) PutEntries(ctx context.Context, entries []parley.Entry) error {
	if err := b.next(); err != nil {
		return err
	}
	if err := b.Fillable.PutEntries(ctx, entries); err != nil {
		return err
	}
	return b.Fillable.PutEntries(ctx, entries) // once more: the answer was lost
}

func (b *breaking) PutStreams(ctx context.Context, states []bridge.StreamState) error {
	if err := b.next(); err != nil {
		return err
	}
	return b.Fillable.PutStreams(ctx, states)
}

func (b *breaking) PutRows(ctx context.Context, rows []bridge.Row) error {
	if err := b.next(); err != nil {
		return err
	}
	return b.Fillable.PutRows(ctx, rows)
}

func TestFillRefusesOtherStores(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	dir := t.TempDir()
	must(t, open(t, dir).Close())
	if _, err := sqlite.Fill(t.Context(), sqlite.Options{Dir: dir}, from.Epoch()); err == nil || !strings.Contains(err.Error(), "there is a store already") {
		t.Errorf("over a store: %v", err)
	}
	dir = t.TempDir()
	must(t, fill(t, dir, "epo_another").Close())
	if _, err := sqlite.Fill(t.Context(), sqlite.Options{Dir: dir}, from.Epoch()); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("over the copy of another store: %v", err)
	}
}

// differs changes one thing of each kind in a copy.
func differs(t *testing.T, from *sqlite.Store) {
	dir := filepath.Join(t.TempDir(), "to")
	f := fill(t, dir, from.Epoch())
	_, err := mirror.Copy(t.Context(), from, f, mirror.Options{})
	must(t, err)
	must(t, f.Finish(t.Context()))
	must(t, f.Close())
	to := open(t, dir)
	ctx := t.Context()
	stream := parley.MessagesOf("ste_a", "cnv_1")
	e := parley.Entry{ID: "msg_more", Sender: "vis_1", Type: parley.EntryText, Body: []byte(`{"text":"secret"}`), Digest: []byte("x")}
	for _, s := range []parley.Stream{stream, "ste_a/c/new/messages"} {
		_, err = to.Append(ctx, s, []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
	}
	_, err = to.Cut(ctx, parley.MessagesOf("ste_a", "cnv_2"), 9)
	must(t, err)
	must(t, to.PutSite(ctx, parley.Site{ID: "ste_b", Key: "key_b", Name: "secret"}))
	_, err = to.Secret(ctx, "zzz", 8)
	must(t, err)

	_, err = mirror.Compare(ctx, from, to, mirror.Options{Names: [2]string{"--from", "--to"}})
	var found *mirror.Differences
	if !errors.As(err, &found) {
		t.Fatalf("they are the same: %v", err)
	}
	want := []string{
		"the secret zzz is missing in --from",
		"the site ste_b is not the same",
		"what lists show of conversation ste_a cnv_2 is not the same",
		"ste_a/c/cnv_1/messages goes up to entry 55 in --from, up to entry 56 in --to",
		"ste_a/c/cnv_2/messages: the history begins at entry 1 in --from, at entry 9 in --to",
		"ste_a/c/new/messages is missing in --from",
	}
	if d := cmp.Diff(want, found.Named); d != "" || strings.Contains(err.Error(), "secret\"") {
		t.Errorf("named (-want +got):\n%s\n%v", d, err)
	}
}

// oneByte exchanges one field of one entry in a store that is compared with itself.
func oneByte(t *testing.T, s *sqlite.Store) {
	for name, change := range map[string]func(*parley.Entry){
		"id": func(e *parley.Entry) { e.ID += "x" }, "sender": func(e *parley.Entry) { e.Sender += "x" }, "device": func(e *parley.Entry) { e.Device += "x" },
		"role": func(e *parley.Entry) { e.Role += "x" }, "type": func(e *parley.Entry) { e.Type += "x" }, "body": func(e *parley.Entry) { e.Body = []byte("{}") },
		"at": func(e *parley.Entry) { e.At++ }, "count": func(e *parley.Entry) { e.Count++ }, "digest": func(e *parley.Entry) { e.Digest = nil },
		"redacted": func(e *parley.Entry) { e.Redacted = true }, "seq": func(e *parley.Entry) { e.Seq++ },
	} {
		_, err := mirror.Compare(t.Context(), s, &changed{Portable: s, change: change}, mirror.Options{})
		if err == nil || !strings.Contains(err.Error(), "cnv_2/messages: entry 44 differs in its "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// changed is a store with one entry that is different.
type changed struct {
	bridge.Portable
	change func(*parley.Entry)
}

func (c *changed) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := c.Portable.Read(ctx, stream, after, limit)
	for i := range entries {
		if stream == "ste_a/c/cnv_2/messages" && entries[i].Seq == 44 {
			c.change(&entries[i])
		}
	}
	return entries, err
}
