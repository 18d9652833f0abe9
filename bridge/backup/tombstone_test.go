package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

const canary = "CANARY-2c81"

// collected is a file of tombstones, as whoever keeps it has it.
func collected(t *testing.T, from backup.Log, since int64) string {
	t.Helper()
	var file bytes.Buffer
	lines := json.NewEncoder(&file)
	must(t, backup.Collect(t.Context(), from, since, func(one backup.Tombstone) error { return lines.Encode(one) }))
	return file.String()
}

func tombstones(t *testing.T, file string) *backup.Tombstones {
	t.Helper()
	tombs, _, err := backup.ReadTombstones(strings.NewReader(file))
	must(t, err)
	return tombs
}

// TestDeletedStaysDeleted restores a backup from before a message with its edit was
// deleted, and a history cut.
func TestDeletedStaysDeleted(t *testing.T) {
	ctx := t.Context()
	from := open(t, filepath.Join(t.TempDir(), "from"))
	b, err := bridge.New(ctx, from, bridge.Options{})
	must(t, err)
	ann := parley.Identity{Site: "ste_a", User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor}
	say := func(conversation string, drafts ...parley.Draft) {
		t.Helper()
		answers, err := b.Record(ctx, ann, conversation, drafts)
		must(t, err)
		for _, a := range answers {
			must(t, a.Err)
		}
	}
	say("cnv_1", parley.NewText("msg_00001", "stays"), parley.NewText("msg_00002", canary),
		parley.Draft{ID: "edit_0001", Type: parley.EntryEdit, Body: []byte(`{"seq":3,"text":"` + canary + ` too"}`)})
	say("cnv_2", parley.NewText("msg_00001", canary), parley.NewText("msg_00002", canary), parley.NewText("msg_00003", "stays"))
	must(t, b.Close())
	old, _ := write(t, from)

	b, err = bridge.New(ctx, from, bridge.Options{})
	must(t, err)
	say("cnv_1", parley.Draft{ID: "delete_01", Type: parley.EntryDelete, Body: []byte(`{"seq":3}`)})
	_, err = b.CutHistory(ctx, parley.MessagesOf("ste_a", "cnv_2"), 4)
	must(t, err)
	must(t, b.Close())
	file := collected(t, from, 0)
	if strings.Contains(file, canary) {
		t.Errorf("a tombstone has what was deleted:\n%s", file)
	}

	f, gone := restore(t, old.Bytes(), tombstones(t, file))
	if gone.Entries != 4 {
		t.Errorf("%d entries are left out, want a message, its edit, and two of a history", gone.Entries)
	}
	must(t, f.Finish(ctx))
	must(t, f.Close())
	dir := f.dir
	if found := storetest.FilesWith(t, dir, canary); len(found) > 0 {
		t.Errorf("what was deleted came back: %v", found)
	}
	restored := open(t, dir)
	b, err = bridge.New(ctx, restored, bridge.Options{})
	must(t, err)
	defer func() { must(t, b.Close()) }()
	for conversation, want := range map[string]struct {
		text  string
		first int64
	}{"cnv_1": {"", 0}, "cnv_2": {"stays", 4}} {
		row, err := restored.Conversation(ctx, "ste_a", conversation)
		must(t, err)
		if row.LastText != want.text || row.First != want.first {
			t.Errorf("%s: the list shows %q, history begins at %d", conversation, row.LastText, row.First)
		}
	}
	answers, err := b.Record(ctx, ann, "cnv_1", []parley.Draft{parley.NewText("msg_00002", canary)})
	if err != nil || !answers[0].Duplicate || !answers[0].Entry.Redacted {
		t.Errorf("a late repeat: %+v, %v", answers, err)
	}

	// Deletes of the life after that are found by their names too, in the backup from before.
	add(t, restored, "delete_02", parley.EntryDelete, `{"seq":2}`)
	later := file + collected(t, restored, 0)
	if _, gone = restore(t, old.Bytes(), tombstones(t, later)); gone.Entries != 5 {
		t.Errorf("%d entries are left out after the second life", gone.Entries)
	}
	plain, gone := restore(t, old.Bytes(), backup.NewTombstones())
	if entries, err := plain.Read(ctx, parley.MessagesOf("ste_a", "cnv_1"), 2, 1); err != nil || gone.Entries != 0 || entries[0].Redacted {
		t.Errorf("without tombstones: %+v, %v", entries, err)
	}
}

// TestDeletedMeanwhile restores a backup that has a message and, behind it, its delete,
// as a source may show it that is written to.
func TestDeletedMeanwhile(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	add(t, from, "msg_00001", parley.EntryText, `{"text":"`+canary+`"}`)
	add(t, from, "edit_0001", parley.EntryEdit, `{"seq":1,"text":"`+canary+`"}`)
	before, err := from.Read(t.Context(), parley.MessagesOf("ste_a", "cnv_1"), 0, 10)
	must(t, err)
	add(t, from, "delete_01", parley.EntryDelete, `{"seq":1}`)
	file, _ := write(t, late{from, before})
	f, gone := restore(t, file.Bytes(), backup.NewTombstones())
	entries, err := f.Read(t.Context(), parley.MessagesOf("ste_a", "cnv_1"), 0, 10)
	must(t, err)
	if gone.Entries != 2 || len(entries) != 3 || !entries[0].Redacted || !entries[1].Redacted || entries[2].Redacted {
		t.Errorf("%d entries are left out: %+v", gone.Entries, entries)
	}
}

// late is a store that shows the first entries of a stream as they were before.
type late struct {
	*sqlite.Store
	before []parley.Entry
}

func (l late) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := l.Store.Read(ctx, stream, after, limit)
	if after == 0 {
		copy(entries, l.before)
	}
	return entries, err
}

func TestTombstonesFile(t *testing.T) {
	line := `{"kind":"message","epoch":"epo_a","stream":"ste_a/c/cnv_1/messages","seq":3,"sender":"vis_ann","id":"msg_00002"}` + "\n"
	seen := `{"kind":"seen","epoch":"epo_a","at":5}` + "\n"
	tombs, whole, err := backup.ReadTombstones(strings.NewReader(line + seen + line[:40]))
	if err != nil || whole != int64(len(line+seen)) || tombs.Len() != 1 || tombs.Seen("epo_a") != 5 || tombs.Seen("epo_b") != 0 {
		t.Errorf("a line that was broken off: %d, %v", whole, err)
	}
	if tombs.Digest() == backup.NewTombstones().Digest() || tombs.Digest() != tombstones(t, line+line).Digest() {
		t.Error("digests")
	}
	for name, bad := range map[string]string{
		"no JSON": "hello\n", "half of one": `{"kind":"message","epoch":"epo_a"}` + "\n", "to come": `{"kind":"person","epoch":"epo_a"}` + "\n",
		"more": `{"kind":"seen","epoch":"epo_a","at":5,"text":"?"}` + "\n",
	} {
		if _, _, err := backup.ReadTombstones(strings.NewReader(line + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
