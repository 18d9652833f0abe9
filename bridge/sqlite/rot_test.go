package sqlite_test

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/storetest"
)

const pageSize = 4096

// TestFlippedPages turns one bit at a time in pages of every kind, of a database
// that is too large to be verified whole at every start. Each flip has to be
// found, and until then nothing that is not true may be served.
func TestFlippedPages(t *testing.T) {
	dir, truth := largeStore(t)
	whole, err := os.ReadFile(filepath.Join(dir, "parley.db"))
	must(t, err)
	if len(whole) <= 8<<20 {
		t.Fatalf("the database has %d bytes only", len(whole))
	}
	kinds := pageKinds(t, dir, whole)
	found := map[string]int{}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for range storetest.Scale() {
			page := kinds[kind][rand.IntN(len(kinds[kind]))]
			bit := rand.IntN(8 * pageSize)
			copied := t.TempDir()
			damaged := slices.Clone(whole)
			damaged[(page-1)*pageSize+bit/8] ^= 1 << (bit % 8)
			must(t, os.WriteFile(filepath.Join(copied, "parley.db"), damaged, 0o600))
			where, lie := serve(t, copied, truth)
			if lie != "" || where == "" {
				t.Errorf("bit %d of page %d (%s): found %q, served %s", bit, page, kind, where, lie)
			}
			found[where]++
			must(t, os.RemoveAll(copied))
		}
	}
	t.Logf("%d kinds of pages, flips found: %v", len(kinds), found)
}

// TestScrub flips a bit where nobody reads, and waits for the store to notice.
func TestScrub(t *testing.T) {
	dir, _ := largeStore(t)
	path := filepath.Join(dir, "parley.db")
	whole, err := os.ReadFile(path)
	must(t, err)
	free := pageKinds(t, dir, whole)["free"]
	whole[(free[len(free)-1]-1)*pageSize+99] ^= 1
	must(t, os.WriteFile(path, whole, 0o600))
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if err := s.Ready(t.Context()); err != nil {
			if !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "restore") {
				t.Errorf("the store says: %v", err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the scrub has not found it")
		}
	}
	_, err = s.Append(t.Context(), "ste_a/c/cnv_0/messages", []parley.Entry{message("vis_a", "msg_new1", "x")}, parley.ExpectAny)
	checkTemporary(t, err)
}

// TestScrubbedWhileWritten scrubs a database beside writers and checkpoints, and
// finds nothing.
func TestScrubbedWhileWritten(t *testing.T) {
	dir, _ := largeStore(t)
	s := open(t, dir)
	defer func() { must(t, s.Close()) }()
	written := make(chan error, 1)
	go func() {
		written <- func() error {
			for i := range 12 * storetest.Scale() {
				entries := make([]parley.Entry, 100)
				for k := range entries {
					entries[k] = message("vis_a", fmt.Sprintf("msg_%d_%d", i, k), strings.Repeat("x", 5000))
				}
				if _, err := s.Append(t.Context(), parley.MessagesOf("ste_a", fmt.Sprintf("cnv_w%d", i%5)), entries, parley.ExpectAny); err != nil {
					return err
				}
				if _, err := s.EntriesSince(t.Context(), 1<<60, nil, 1); err != nil { // brings them into the database
					return err
				}
			}
			return nil
		}()
	}()
	for scrubs := 0; ; scrubs++ {
		must(t, s.Scrub(t.Context()))
		select {
		case err := <-written:
			must(t, err)
			t.Logf("%d scrubs meanwhile", scrubs)
			return
		default:
		}
	}
}

// largeStore makes a closed store of about 11 MiB, with pages of every kind.
func largeStore(t *testing.T) (dir string, truth map[parley.Stream][]parley.Entry) {
	t.Helper()
	dir, truth = filepath.Join(t.TempDir(), "data"), map[parley.Stream][]parley.Entry{}
	s := open(t, dir)
	for n := range 6 {
		stream := parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n))
		for range 6 {
			entries := make([]parley.Entry, 50)
			for i := range entries {
				k := len(truth[stream]) + i
				entries[i] = message(fmt.Sprintf("vis_%d", k%3), fmt.Sprintf("msg_%04d", k), strings.Repeat("parcel ", 100+k*10%1500))
				if k%10 == 0 {
					entries[i].Type = parley.EntryAssigned
				}
			}
			answers, err := s.Append(t.Context(), stream, entries, parley.ExpectAny)
			must(t, err)
			for _, a := range answers {
				truth[stream] = append(truth[stream], a.Entry)
			}
		}
	}
	must(t, s.Close())
	// What was dropped leaves free pages.
	execFile(t, dir, `CREATE TABLE dropped (x); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
		INSERT INTO dropped SELECT randomblob(4000) FROM n; DROP TABLE dropped`)
	return dir, truth
}

// pageKinds returns the pages of a database by what they are for.
func pageKinds(t *testing.T, dir string, whole []byte) map[string][]int {
	t.Helper()
	kinds, seen := map[string][]int{}, map[int]bool{}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "parley.db")+"?vfs=parley")
	must(t, err)
	defer func() { must(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), `SELECT name || ' ' || pagetype, pageno FROM dbstat`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind string
		var page int
		must(t, rows.Scan(&kind, &page))
		kinds[kind], seen[page] = append(kinds[kind], page), true
	}
	must(t, rows.Err())
	for page := range len(whole) / pageSize {
		if !seen[page+1] {
			kinds["free"] = append(kinds["free"], page+1)
		}
	}
	trunk := int(binary.BigEndian.Uint32(whole[32:]))
	kinds["first of the free"] = []int{trunk}
	return kinds
}
