package bridge_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/internal/crash"
)

// amendDir tells a test binary that it is the child of TestAmendCrash, and where
// its store is.
const amendDir = "PARLEY_AMEND_CRASH_DIR"

// The texts that are deleted, and one that is not.
const (
	secretText, secretEdit = "SECRET as it was sent", "SECRET as it was edited"
	otherText              = "this one stays"
)

func amendScript() []parley.Draft {
	return []parley.Draft{
		parley.NewText("msg_other", otherText), parley.NewText("msg_secret", secretText),
		edit(1, 3, secretEdit), deletion(1, 3),
	}
}

// amendChild plays the script, tells what is acknowledged, and goes on until it is
// killed or has purged.
func amendChild(dir string) error {
	ctx := context.Background()
	now := time.Now() // for ever: nothing may depend on times that differ
	store, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, PurgeAfter: 50 * time.Millisecond, Now: func() time.Time { return now }})
	if err != nil {
		return err
	}
	b, err := bridge.New(ctx, store, bridge.Options{}, &witness{})
	if err != nil {
		return err
	}
	apply := func() error { // and bring the list up to date
		if _, err := b.Conversations(ctx, ann, parley.ConversationList{}); err != nil {
			return err
		}
		_, err := store.EntriesSince(ctx, 0, nil, 1)
		return err
	}
	for i, d := range amendScript() {
		answers, err := b.Record(ctx, ann, "c1", []parley.Draft{d})
		if err != nil || answers[0].Err != nil {
			return fmt.Errorf("%s: %w, %+v", d.ID, err, answers)
		}
		fmt.Println("ack", d.ID)
		if i == 1 { // the secret is applied together with its edit
			continue
		}
		if err := apply(); err != nil {
			return err
		}
	}
	for range 300 { // until it is purged, and a bit
		if len(secretsIn(dir)) == 0 {
			time.Sleep(20 * time.Millisecond)
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// secretsIn returns the files of dir that hold something of what is deleted.
func secretsIn(dir string) (found []string) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return []string{err.Error()}
	}
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, []byte("SECRET")) {
			found = append(found, name)
		}
	}
	return found
}

// TestAmendCrash kills a server at every step from the decision about a delete to
// the end of the purge. After each start either there is no delete, and the text
// is whole, or there is one, and nothing of the text is left anywhere.
func TestAmendCrash(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "amend.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "fault", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	deleted, whole, died := 0, 0, map[crash.Point]int{}
	points := []crash.Point{
		crash.Decided, crash.JournalBegin, crash.JournalTorn, crash.JournalWritten, crash.JournalSynced, crash.Watched,
		crash.FollowBegin, crash.Folded, crash.ChangedTold, crash.AdvancedTold, crash.ProjectBegin, crash.ProjectSaved,
		crash.ApplyBegin, crash.Redacted, crash.ApplyInserted, crash.ApplySynced, crash.JournalReused,
		crash.PurgeBegin, crash.PurgeTruncated,
	}
	for _, point := range points {
		for pass := range 6 {
			dir := t.TempDir()
			acked, killed := runAmendChild(t, binary, dir, fmt.Sprintf("%s:%d", point, pass+1))
			if !killed {
				break // it does not come so often
			}
			died[point]++
			if checkAmended(t, dir, acked) {
				deleted++
			} else {
				whole++
			}
			if t.Failed() {
				t.Fatalf("after a kill at %s:%d", point, pass+1)
			}
		}
		if died[point] == 0 {
			t.Errorf("%s was never reached", point)
		}
	}
	t.Logf("%d kills at %d points: the message is deleted after %d, whole after %d", deleted+whole, len(points), deleted, whole)
}

func runAmendChild(t *testing.T, binary, dir, point string) (acked map[string]bool, killed bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), binary)
	child.Env = append(os.Environ(), amendDir+"="+dir, "PARLEY_CRASH_AT="+point)
	child.Stderr = os.Stderr
	out, err := child.Output()
	acked = map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		id, ok := strings.CutPrefix(lines.Text(), "ack ")
		if !ok {
			t.Errorf("at %s the child said %q", point, lines.Text())
		}
		acked[id] = true
	}
	return acked, err != nil
}

// checkAmended opens what a child left, reports whether the message is deleted,
// and fails the test unless everything agrees on that.
func checkAmended(t *testing.T, dir string, acked map[string]bool) (deleted bool) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, PurgeAfter: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, dir: dir, store: store, seen: &witness{}}
	defer w.close()
	if w.bridge, err = bridge.New(t.Context(), store, bridge.Options{}, w.seen); err != nil {
		t.Fatal(err)
	}
	stored := map[string]parley.Entry{}
	for _, e := range w.log("c1") {
		stored[e.ID] = e
	}
	for id := range acked {
		if stored[id].Seq == 0 {
			t.Errorf("%s was acknowledged and is not there", id)
		}
	}
	secret, edited := stored["msg_secret"], stored["msg_e00001"]
	_, deleted = stored["msg_d00001"]
	switch {
	case !deleted:
		if secret.Redacted || edited.Redacted {
			t.Errorf("redacted without a delete: %+v, %+v", secret, edited)
		}
	case !secret.Redacted || !edited.Redacted || string(secret.Body)+string(edited.Body) != "{}{}":
		t.Errorf("deleted, and not redacted: %+v, %+v", secret, edited)
	default:
		w.expectLastText("c1", "")
	}
	if stored["msg_other"].Seq > 0 && stored["msg_other"].Redacted {
		t.Error("another message is redacted")
	}
	for _, a := range w.say(ann, "c1", amendScript()...) { // as the sender does now, with all that has no acknowledgement
		if a.Duplicate != (stored[a.Entry.ID].Seq > 0) {
			t.Errorf("%s sent again: duplicate %v", a.Entry.ID, a.Duplicate)
		}
	}
	if err := store.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	w.expectLastText("c1", "")                                            // and brings the list up to date
	if _, err := store.EntriesSince(t.Context(), 0, nil, 1); err != nil { // and this the tables
		t.Error(err)
	}
	w.eventually(func() string { return strings.Join(secretsIn(dir), ", ") })
	return deleted
}
