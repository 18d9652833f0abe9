package mirror_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// TestDeletedTextLeavesTheCopy copies a store in which lists still show a deleted
// message. Whoever opens the copy takes it from all files, without being closed.
func TestDeletedTextLeavesTheCopy(t *testing.T) {
	const canary = "CANARY-91c4"
	ctx := t.Context()
	from, dir := open(t, filepath.Join(t.TempDir(), "from")), filepath.Join(t.TempDir(), "to")
	b, err := bridge.New(ctx, from, bridge.Options{})
	must(t, err)
	ann := parley.Identity{Site: "ste_a", User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor}
	answers, err := b.Record(ctx, ann, "cnv_1", []parley.Draft{parley.NewText("msg_00001", canary)})
	must(t, err)
	must(t, answers[0].Err)
	must(t, b.Close())
	_, err = from.Append(ctx, parley.MessagesOf(ann.Site, "cnv_1"), []parley.Entry{{
		ID: "msg_00002", Sender: ann.User, Device: ann.Device, Role: ann.Role, Type: parley.EntryDelete,
		Body: fmt.Appendf(nil, `{"seq":%d}`, answers[0].Entry.Seq), Digest: []byte("digest"),
	}}, parley.ExpectAny)
	must(t, err)

	f := fill(t, dir, from.Epoch())
	_, err = mirror.Copy(ctx, from, f, mirror.Options{})
	must(t, err)
	must(t, f.Finish(ctx))
	must(t, f.Close())
	if len(storetest.FilesWith(t, dir, canary)) == 0 {
		t.Fatal("the row is not behind: there is nothing to see")
	}
	to, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, PurgeAfter: time.Millisecond})
	must(t, err)
	defer func() { must(t, to.Close()) }()
	b, err = bridge.New(ctx, to, bridge.Options{})
	must(t, err)
	defer func() { must(t, b.Close()) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		found := storetest.FilesWith(t, dir, canary)
		if len(found) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the text stays in %v", found)
		}
	}
}
