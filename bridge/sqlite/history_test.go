package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// longStream writes n messages of all sizes to one conversation, every tenth of
// which is edited at the end, and its row. It returns what to look for in files.
func longStream(t *testing.T, s *sqlite.Store, n int) (row parley.Conversation, secrets []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	row = parley.Conversation{Site: "ste_a", ID: "cnv_a", Visitor: "vis_a", Head: int64(n), LastSeq: int64(n)}
	add := func(e parley.Entry) {
		t.Helper()
		e.Digest = []byte("digest")
		answers, err := s.Append(t.Context(), row.Stream(), []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		must(t, answers[0].Err)
	}
	for i := range n {
		secret, text := secretText(r, i)
		add(message("vis_a", fmt.Sprintf("msg_%06d", i), text))
		secrets = append(secrets, secret)
		row.LastText = secret
	}
	for i := 0; i < n; i += 10 {
		secret, text := secretText(r, 100_000+i)
		add(amendment("vis_a", fmt.Sprintf("msg_e%06d", i), parley.EntryEdit, fmt.Sprintf(`{"seq":%d,"text":"%s"}`, i+1, text)))
		secrets[i] = secret // the one that is shown
	}
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, 1))
	return row, secrets
}

// TestCutPurges cuts a long history, twice, and looks for what is gone in every
// file.
func TestCutPurges(t *testing.T) {
	dir := t.TempDir()
	s := purging(t, dir)
	const n = 700
	row, secrets := longStream(t, s, n)
	cut := func(first int64) {
		t.Helper()
		got, err := s.Cut(t.Context(), row.Stream(), first)
		must(t, err)
		if got != first {
			t.Fatalf("history begins at %d, want %d", got, first)
		}
		eventually(t, func() string {
			return strings.Join(storetest.FilesWith(t, dir, secrets[:min(n, int(first-1))]...), ", ")
		})
		must(t, s.Verify(t.Context()))
	}
	cut(600)
	if kept := storetest.FilesWith(t, dir, secrets[599:]...); len(kept) < n-599 {
		t.Errorf("%d texts are left, want %d", len(kept), n-599)
	}
	cut(n + 20)
	must(t, s.Close())
	if found := storetest.FilesWith(t, dir, secrets...); len(found) > 0 {
		t.Errorf("closed: %v", found)
	}
	s = open(t, dir)
	must(t, s.Verify(t.Context()))
	got, err := s.Conversation(t.Context(), row.Site, row.ID)
	must(t, err)
	if got.First != n+20 || got.LastText != "" {
		t.Errorf("the row: %+v", got)
	}
	must(t, s.Close())
}

// TestCutAfterKill kills the store, by a copy of its files, right after a cut. The
// next start serves nothing of it, and takes it from the files.
func TestCutAfterKill(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, PurgeAfter: time.Hour})
	must(t, err)
	row, secrets := longStream(t, s, 50)
	_, err = s.Cut(t.Context(), row.Stream(), 51)
	must(t, err)
	copied := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	must(t, s.Close())
	if len(storetest.FilesWith(t, copied, secrets...)) == 0 {
		t.Error("the test wants to begin with the texts in a file")
	}
	s = purging(t, copied)
	defer func() { must(t, s.Close()) }()
	entries, err := s.Read(t.Context(), row.Stream(), 0, 100)
	must(t, err)
	for _, e := range entries {
		if !e.Redacted || string(e.Body) != "{}" {
			t.Errorf("entry %d after the kill: %s", e.Seq, e.Body)
		}
	}
	eventually(t, func() string { return strings.Join(storetest.FilesWith(t, copied, secrets...), ", ") })
}

// TestCutOfARowThatComesLater cuts a conversation whose row is not there yet. Who
// saves it knows nothing of the cut.
func TestCutOfARowThatComesLater(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	row := parley.Conversation{Site: "ste_a", ID: "cnv_a", Visitor: "vis_a", Head: 2, LastSeq: 1, LastText: "gone"}
	closed := message("agt_a", "closed-1", "")
	closed.Type = parley.EntryClosed
	_, err := s.Append(t.Context(), row.Stream(), []parley.Entry{message("vis_a", "msg_00001", "gone"), closed}, parley.ExpectAny)
	must(t, err)
	_, err = s.Cut(t.Context(), row.Stream(), 2)
	must(t, err)
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, 1))
	got, err := s.Conversation(t.Context(), row.Site, row.ID)
	must(t, err)
	row.First, row.LastText = 2, ""
	equal(t, "row", got, row)
}

// TestCutTakesPendingEdits cuts a message off whose edit is behind the cut, and not
// in the tables yet.
func TestCutTakesPendingEdits(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	say := func(entries ...parley.Entry) {
		t.Helper()
		_, err := s.Append(t.Context(), fsyncStream, entries, parley.ExpectAny)
		must(t, err)
	}
	say(message("vis_a", "msg_00001", "one"), message("vis_a", "msg_00002", "two"))
	_, err := s.EntriesSince(t.Context(), 0, nil, 1) // into the tables
	must(t, err)
	_, err = s.Secret(t.Context(), "fsync", 8) // and out of memory
	must(t, err)
	say(message("vis_a", "msg_00003", "three"), amendment("vis_a", "msg_00004", parley.EntryEdit, `{"seq":1,"text":"uno"}`))
	_, err = s.Cut(t.Context(), fsyncStream, 2)
	must(t, err)
	entries, err := s.Read(t.Context(), fsyncStream, 0, 10)
	must(t, err)
	var redacted []bool
	for _, e := range entries {
		redacted = append(redacted, e.Redacted)
	}
	equal(t, "redacted", redacted, []bool{true, false, false, true})
}
