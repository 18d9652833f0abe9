package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

const canary = "CANARY-7f3a"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openStore opens an embedded store as it is named.
func openStore(t *testing.T, name string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: strings.TrimPrefix(name, "sqlite:")})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// killed makes the folder of a store whose server was killed when a message had just
// been edited and deleted: lists still have its text.
func killed(t *testing.T) (folder string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	s := openStore(t, running)
	b, err := bridge.New(t.Context(), s, bridge.Options{})
	must(t, err)
	ann := parley.Identity{Site: "ste_a", User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor}
	answers, err := b.Record(t.Context(), ann, "cnv_1", []parley.Draft{parley.NewText("msg_00001", canary)})
	must(t, err)
	must(t, answers[0].Err)
	must(t, b.Close()) // saves what lists show
	seq := answers[0].Entry.Seq
	for i, e := range []parley.Entry{
		{Type: parley.EntryEdit, Body: fmt.Appendf(nil, `{"seq":%d,"text":"%s again"}`, seq, canary)},
		{Type: parley.EntryDelete, Body: fmt.Appendf(nil, `{"seq":%d}`, seq)},
	} {
		e.ID, e.Sender, e.Device, e.Role, e.Digest = fmt.Sprintf("msg_1000%d", i), ann.User, ann.Device, ann.Role, []byte("digest")
		answers, err := s.Append(t.Context(), parley.MessagesOf(ann.Site, "cnv_1"), []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		must(t, answers[0].Err)
	}
	return snapshot(t, running)
}

// snapshot copies the files of a folder as a kill of the process that has them open
// leaves them.
func snapshot(t *testing.T, folder string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(folder)
	must(t, err)
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue // the socket of a server that runs
		}
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, f.Name()), data, 0o600))
	}
	return to
}

// TestMigrateLeavesDeletedTextBehind copies the store of a server that was killed.
func TestMigrateLeavesDeletedTextBehind(t *testing.T) {
	from, to := killed(t), filepath.Join(t.TempDir(), "copy")
	if len(storetest.FilesWith(t, from, canary)) == 0 {
		t.Fatal("the text is in no file from the beginning")
	}
	if out, err := migrate(t, "--from", "sqlite:"+from, "--to", "sqlite:"+to); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if found := storetest.FilesWith(t, to, canary); len(found) > 0 {
		t.Errorf("the text is in the copy: %v", found)
	}
	_, err := migrate(t, "--from", "sqlite:"+from, "--to", "sqlite:"+to, "--compare")
	if err == nil || !strings.Contains(err.Error(), "made from the entries, which are the same") {
		t.Errorf("compared once more: %v", err)
	}
	c := testConfig(t)
	c.Data = to
	startNode(t, c)
	if found := storetest.FilesWith(t, snapshot(t, to), canary); len(found) > 0 {
		t.Errorf("the text is in the copy when its server is killed: %v", found)
	}
}

// TestMigrateFromAStoreThatChanges breaks a migration off, deletes in the source what
// is in the copy already, and goes on.
func TestMigrateFromAStoreThatChanges(t *testing.T) {
	from, to := "sqlite:"+filepath.Join(t.TempDir(), "from"), "sqlite:"+filepath.Join(t.TempDir(), "to")
	s := openStore(t, from)
	stream := parley.MessagesOf("ste_a", "cnv_1")
	add := func(id string, kind parley.EntryType, body string) {
		t.Helper()
		answers, err := s.Append(t.Context(), stream, []parley.Entry{{
			ID: id, Sender: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Type: kind, Body: []byte(body), Digest: []byte("digest"),
		}}, parley.ExpectAny)
		must(t, err)
		must(t, answers[0].Err)
	}
	add("msg_00001", parley.EntryText, `{"text":"one"}`)
	f, err := sqlite.Fill(t.Context(), sqlite.Options{Dir: strings.TrimPrefix(to, "sqlite:")}, s.Epoch())
	must(t, err)
	entries, err := s.Read(t.Context(), stream, 0, 10)
	must(t, err)
	must(t, f.PutEntries(t.Context(), entries))
	must(t, f.Close())
	add("msg_00002", parley.EntryDelete, `{"seq":1}`)
	must(t, s.Close())
	_, err = migrate(t, "--from", from, "--to", to)
	if err == nil || !strings.Contains(err.Error(), from+" has changed") || !strings.Contains(err.Error(), "delete the copy, "+to) {
		t.Errorf("it says %v", err)
	}
}

// TestMigrationSaysWhatItWaitsFor shows progress.
func TestMigrationSaysWhatItWaitsFor(t *testing.T) {
	var out bytes.Buffer
	m := migration{screen: &out, log: slog.New(slog.DiscardHandler)}
	at, err := parseLocation("mongodb://u:secret@db/chat")
	must(t, err)
	p := mirror.Progress{Entries: 3}
	p.Trouble = side{"--to", at}.wrap(parley.ErrOutcomeUnknown)
	m.tell("copied")(p)
	want := "copied: 0 streams, 3 entries, 0 rows; waiting, then trying again: --to mongodb://db/chat: outcome of the write is unknown\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
