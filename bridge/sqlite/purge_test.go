package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// purging opens a store that purges at once.
func purging(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, PurgeAfter: time.Millisecond})
	must(t, err)
	return s
}

func amendment(sender, id string, kind parley.EntryType, body string) parley.Entry {
	return parley.Entry{
		ID: id, Sender: sender, Device: "dev_a", Role: parley.RoleVisitor,
		Type: kind, Body: []byte(body), Digest: []byte("digest"),
	}
}

// secretText makes a text of a length between 12 bytes and several pages.
func secretText(r *rand.Rand, n int) (secret, text string) {
	secret = fmt.Sprintf("SECRET%06d.", n)
	return secret, secret + strings.Repeat("x", r.IntN([]int{20, 600, 3000, 20_000}[r.IntN(4)]))
}

// eventually fails the test with why unless that becomes empty.
func eventually(t *testing.T, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		last := why()
		if last == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(last)
		}
	}
}

type place struct {
	stream parley.Stream
	seq    int64
}

// readers read all the time until stop is called.
func readers(t *testing.T, s *sqlite.Store, places map[place][]string) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				for at := range places {
					if _, err := s.Read(ctx, at.stream, 0, 100); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// TestPurge writes messages of all sizes to many conversations, so that pages are
// split and rows move, edits some of them, deletes a part, and looks for their
// bytes in every file: of a store that goes on, and after it was opened again.
func TestPurge(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	s := purging(t, dir)
	texts := map[place][]string{}
	append1 := func(stream parley.Stream, e parley.Entry) int64 {
		t.Helper()
		answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		must(t, answers[0].Err)
		return answers[0].Entry.Seq
	}
	var places []place
	for n := range 1500 {
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", r.IntN(40)))
		secret, text := secretText(r, n)
		e := message("vis_a", fmt.Sprintf("msg_%06d", n), text)
		e.Digest = []byte("digest")
		at := place{stream, append1(stream, e)}
		places = append(places, at)
		texts[at] = append(texts[at], secret)
		if n%5 == 0 {
			of := places[r.IntN(len(places))]
			secret, text := secretText(r, 100_000+n)
			append1(of.stream, amendment("vis_a", fmt.Sprintf("msg_e%06d", n), parley.EntryEdit, fmt.Sprintf(`{"seq":%d,"text":"%s"}`, of.seq, text)))
			texts[of] = append(texts[of], secret)
		}
		if n%100 == 0 { // into the tables, in pieces
			_, err := s.EntriesSince(t.Context(), 0, nil, 1)
			must(t, err)
		}
	}
	var gone, kept []string
	for i, at := range places {
		if i%3 > 0 {
			kept = append(kept, texts[at]...)
			continue
		}
		append1(at.stream, amendment("agt_a", fmt.Sprintf("msg_d%06d", i), parley.EntryDelete, fmt.Sprintf(`{"seq":%d}`, at.seq)))
		gone = append(gone, texts[at]...)
	}
	clean := func() string {
		if found := storetest.FilesWith(t, dir, gone...); len(found) > 0 {
			return fmt.Sprintf("%d of %d deleted texts are in the files: %s", len(found), len(gone), strings.Join(found[:min(5, len(found))], ", "))
		}
		return ""
	}
	stop := readers(t, s, texts) // who must not be in the way
	eventually(t, clean)
	stop()
	for i := range 200 { // which moves rows again
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", i%40))
		append1(stream, message("vis_a", fmt.Sprintf("msg_l%06d", i), strings.Repeat("y", r.IntN(2000))))
	}
	_, err := s.EntriesSince(t.Context(), 0, nil, 1)
	must(t, err)
	if why := clean(); why != "" {
		t.Errorf("written on: %s", why)
	}
	must(t, s.Verify(t.Context()))
	must(t, s.Close())
	if why := clean(); why != "" {
		t.Errorf("closed: %s", why)
	}
	if found := storetest.FilesWith(t, dir, kept...); len(found) < len(kept) {
		t.Errorf("%d of %d texts that were not deleted are there", len(found), len(kept))
	}
	s = purging(t, dir)
	must(t, s.Verify(t.Context()))
	must(t, s.Close())
}

// TestPurgeAfterKill kills the store, by a copy of its files, right after a
// delete, with the text in the journal, in the tables and in the log. The next
// start serves nothing of it, and takes it from the files.
func TestPurgeAfterKill(t *testing.T) {
	for _, applied := range []string{"nothing", "the message", "everything"} {
		t.Run(applied+" applied", func(t *testing.T) {
			dir := t.TempDir()
			s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, PurgeAfter: time.Hour})
			must(t, err)
			apply := func(now bool) {
				if now {
					_, err := s.EntriesSince(t.Context(), 0, nil, 1)
					must(t, err)
				}
			}
			first := message("vis_a", "msg_00001", "SECRET1")
			first.Digest = []byte("digest")
			_, err = s.Append(t.Context(), fsyncStream, []parley.Entry{first, amendment("vis_a", "msg_00002", parley.EntryEdit, `{"seq":1,"text":"SECRET2"}`)}, parley.ExpectAny)
			must(t, err)
			apply(applied != "nothing")
			release := func() {}
			if applied == "the message" {
				release = s.Hold()
			}
			_, err = s.Append(t.Context(), fsyncStream, []parley.Entry{amendment("vis_a", "msg_00003", parley.EntryDelete, `{"seq":1}`)}, parley.ExpectAny)
			must(t, err)
			apply(applied == "everything")
			copied := filepath.Join(t.TempDir(), "data")
			must(t, os.CopyFS(copied, os.DirFS(dir)))
			release()
			must(t, s.Close())
			if found := storetest.FilesWith(t, copied, []string{"SECRET"}...); len(found) == 0 {
				t.Error("the test wants to begin with the text in a file")
			}
			s = purging(t, copied)
			defer func() { must(t, s.Close()) }()
			entries, err := s.Read(t.Context(), fsyncStream, 0, 10)
			must(t, err)
			if len(entries) != 3 || !entries[0].Redacted || !entries[1].Redacted || string(entries[1].Body) != "{}" {
				t.Fatalf("after the kill: %+v", entries)
			}
			eventually(t, func() string { return strings.Join(storetest.FilesWith(t, copied, []string{"SECRET"}...), ", ") })
			must(t, s.Verify(t.Context()))
		})
	}
}

// TestPurgeWaitsForRows kills the store behind a delete that the row of its
// conversation does not know. The next start purges when the row is new, although
// the clock has not moved since the old one.
func TestPurgeWaitsForRows(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, PurgeAfter: time.Hour, Now: func() time.Time { return now }})
	must(t, err)
	row := parley.Conversation{Site: "ste_a", ID: "cnv_a", Visitor: "vis_a", Head: 1, LastText: "SECRET", LastSeq: 1}
	first := message("vis_a", "msg_00001", "SECRET")
	first.Digest = []byte("digest")
	_, err = s.Append(t.Context(), row.Stream(), []parley.Entry{first}, parley.ExpectAny)
	must(t, err)
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, now.UnixMilli()))
	_, err = s.Append(t.Context(), row.Stream(), []parley.Entry{amendment("vis_a", "msg_00002", parley.EntryDelete, `{"seq":1}`)}, parley.ExpectAny)
	must(t, err)
	copied := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	must(t, s.Close())

	s = purging(t, copied)
	defer func() { must(t, s.Close()) }()
	for range 30 { // a purge that did not wait would be over
		if len(storetest.FilesWith(t, copied, []string{"SECRET"}...)) == 0 {
			t.Fatal("the row was not to be touched")
		}
		time.Sleep(10 * time.Millisecond)
	}
	row.Head, row.LastText = 2, ""
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, now.UnixMilli()))
	eventually(t, func() string { return strings.Join(storetest.FilesWith(t, copied, []string{"SECRET"}...), ", ") })
}
