package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/sqlite/pages"
)

// killed returns a folder as kill -9 leaves it: some entries are in the
// database, some only in the journal.
func killed(t *testing.T) (dir string, stored []parley.Entry) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "data")
	s := open(t, from)
	send := func(i int) {
		answers, err := s.Append(t.Context(), fsyncStream, []parley.Entry{message("vis_a", fmt.Sprintf("msg_%04d", i), "hello")}, parley.ExpectAny)
		must(t, err)
		stored = append(stored, answers[0].Entry)
	}
	for i := range 10 {
		send(i)
	}
	_, err := s.EntriesSince(t.Context(), 0, nil, 1)
	must(t, err)
	release := s.Hold()
	for i := range 10 {
		send(10 + i)
	}
	if n := s.Stats().Pending; n != 10 {
		t.Errorf("%d entries pending, want 10", n)
	}
	dir = filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(dir, os.DirFS(from)))
	release()
	must(t, s.Close())
	return dir, stored
}

func TestJournalReplay(t *testing.T) {
	dir, stored := killed(t)
	s := open(t, dir)
	entries, err := s.Read(t.Context(), fsyncStream, 0, 100)
	must(t, err)
	equal(t, "after the kill", entries, stored)
	since, err := s.EntriesSince(t.Context(), 0, nil, 100)
	must(t, err)
	equal(t, "by time", since, stored)
	must(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "journal*"))
	must(t, err)
	if len(files) > 0 {
		t.Errorf("a clean end leaves %v", files)
	}
	s = open(t, dir)
	defer func() { must(t, s.Close()) }()
	entries, err = s.Read(t.Context(), fsyncStream, 0, 100)
	must(t, err)
	equal(t, "after a clean end", entries, stored)
}

func TestJournalMissing(t *testing.T) {
	dir, _ := killed(t)
	files, err := filepath.Glob(filepath.Join(dir, "journal*"))
	must(t, err)
	for _, name := range files {
		must(t, os.Remove(name))
	}
	if msg := openError(t, dir); !strings.Contains(msg, "journal is missing") || !strings.Contains(msg, "put it back") {
		t.Errorf("without its journal: %s", msg)
	}
}

func TestJournalOfAnotherStore(t *testing.T) {
	dir, _ := killed(t)
	other, _ := killed(t)
	files, err := filepath.Glob(filepath.Join(other, "journal-0*"))
	must(t, err)
	data, err := os.ReadFile(files[0])
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, filepath.Base(files[0])), data, 0o600))
	if msg := openError(t, dir); !strings.Contains(msg, "another store") || !strings.Contains(msg, filepath.Base(files[0])) {
		t.Errorf("with another store's journal: %s", msg)
	}
}

func TestJournalDamaged(t *testing.T) {
	dir, _ := killed(t)
	files, err := filepath.Glob(filepath.Join(dir, "journal-0*"))
	must(t, err)
	data, err := os.ReadFile(files[0])
	must(t, err)
	copy(data[700:], "scribble")
	must(t, os.WriteFile(files[0], data, 0o600))
	if msg := openError(t, dir); !strings.Contains(msg, "damaged") || !strings.Contains(msg, "offset") || !strings.Contains(msg, "restore") {
		t.Errorf("damaged journal: %s", msg)
	}
}

// TestOldFolder opens a folder from before there were a journal and checksums,
// of rows and of pages.
func TestOldFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	entries := make([]parley.Entry, 0, 50)
	for i := range cap(entries) {
		entries = append(entries, message("vis_a", fmt.Sprintf("msg_%04d", i), "hello"))
	}
	entries[3].Type = parley.EntryAssigned
	_, err := s.Append(t.Context(), fsyncStream, entries, parley.ExpectAny)
	must(t, err)
	want, err := s.Read(t.Context(), fsyncStream, 0, 100)
	must(t, err)
	head, err := s.Head(t.Context(), fsyncStream)
	must(t, err)
	must(t, s.Close())
	execFile(t, dir, `DROP INDEX entries_target; ALTER TABLE entries DROP COLUMN target; ALTER TABLE entries DROP COLUMN redacted;
		ALTER TABLE conversations DROP COLUMN last_seq; ALTER TABLE conversations DROP COLUMN first; ALTER TABLE streams DROP COLUMN first;
		ALTER TABLE entries DROP COLUMN sum; ALTER TABLE streams DROP COLUMN sum;
		DROP INDEX conversations_visitor_changed; DROP INDEX conversations_assignee_changed; DROP INDEX conversations_status_changed;
		ALTER TABLE conversations DROP COLUMN changed_at; ALTER TABLE conversations DROP COLUMN agent_read;
		ALTER TABLE conversations DROP COLUMN marks; DROP TABLE registers; DROP TABLE revocations; DROP TABLE document_terms; DROP TABLE documents; DROP TABLE attachments;
		DELETE FROM meta WHERE key LIKE 'journal%'; PRAGMA user_version = 2`)
	unseal(t, dir)

	s = open(t, dir)
	defer func() { must(t, s.Close()) }()
	file, err := os.ReadFile(filepath.Join(dir, "parley.db"))
	must(t, err)
	if file[20] != pages.Reserve {
		t.Error("its pages have no checksums")
	}
	got, err := s.Read(t.Context(), fsyncStream, 0, 100)
	must(t, err)
	equal(t, "entries", got, want)
	after, err := s.Head(t.Context(), fsyncStream)
	must(t, err)
	equal(t, "head", after, head)
	answers, err := s.Append(t.Context(), fsyncStream, entries[:1], parley.ExpectAny)
	must(t, err)
	equal(t, "repeat", answers, []parley.Appended{{Entry: want[0], Duplicate: true}})
	must(t, s.Verify(t.Context()))
}

// unseal copies the database into one without checksums of pages, which has much
// of it in the log, as a kill leaves it.
func unseal(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "parley.db")
	db, err := sql.Open("sqlite", path+".old")
	must(t, err)
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), query, args...)
		must(t, err)
	}
	exec(`PRAGMA journal_mode = WAL`)
	exec(`ATTACH ? AS sealed`, path)
	for _, what := range []string{
		`SELECT sql AS q FROM sealed.sqlite_schema WHERE sql NOT NULL`,
		`SELECT 'INSERT INTO ' || name || ' SELECT * FROM sealed.' || name AS q FROM sealed.sqlite_schema WHERE type = 'table'`,
	} {
		var queries string
		must(t, db.QueryRowContext(t.Context(), `SELECT group_concat(q, ';') FROM (`+what+`)`).Scan(&queries))
		exec(queries)
	}
	exec(`PRAGMA user_version = 2`)
	exec(`DETACH sealed`)
	for _, file := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + ".old" + file)
		must(t, err)
		must(t, os.WriteFile(path+file, data, 0o600))
	}
	must(t, db.Close())
}

// TestManyPending appends more than may be pending while the database takes
// nothing. Everybody waits, nothing is lost, and it goes on by itself.
func TestManyPending(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { must(t, s.Close()) }()
	const bound, calls, each = 1 << 12, 24, 250
	s.Bound(bound)
	release := s.Hold()
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for i := range calls {
				entries := make([]parley.Entry, each)
				for k := range entries {
					entries[k] = message("vis_a", fmt.Sprintf("msg_%03d_%03d", i, k), "hello")
				}
				if _, err := s.Append(t.Context(), parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", i%7)), entries, parley.ExpectAny); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	waitPending(t, s, bound)
	select {
	case err := <-done:
		t.Fatalf("appends were not held back: %v", err)
	default:
	}
	release()
	must(t, <-done)
	if n := s.Stats().Pending; n > bound+1024 {
		t.Errorf("%d entries pending", n)
	}
	entries, err := s.EntriesSince(t.Context(), 0, nil, 2*calls*each)
	must(t, err)
	if len(entries) != calls*each {
		t.Errorf("%d entries stored, %d acknowledged", len(entries), calls*each)
	}
}

func waitPending(t *testing.T, s *sqlite.Store, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for s.Stats().Pending < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d entries pending, want %d", s.Stats().Pending, n)
		}
		time.Sleep(time.Millisecond)
	}
}
