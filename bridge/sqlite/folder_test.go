package sqlite_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func openError(t *testing.T, dir string) string {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err == nil {
		_ = s.Close()
		t.Fatal("the store opened")
	}
	return err.Error()
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s := open(t, dir)
	if _, err := s.Secret(t.Context(), "x", 8); err != nil {
		t.Fatal(err)
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, others can read it", path, info.Mode())
		}
		return nil
	}))

	if msg := openError(t, dir); !strings.Contains(msg, dir) || !strings.Contains(msg, "in use") {
		t.Errorf("second open: %s", msg)
	}
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Read(t.Context(), "ste_a/c/cnv_a/messages", 0, 1); err == nil {
		t.Error("a closed store reads")
	}
	_, err := s.Append(t.Context(), "ste_a/c/cnv_a/messages", []parley.Entry{message("vis_a", "msg_0001", "x")}, parley.ExpectAny)
	mustRefuse(t, err, parley.CodeUnavailable)
	if errors.Is(err, parley.ErrOutcomeUnknown) {
		t.Errorf("append to a closed store: %v, but nothing can have been written", err)
	}
	must(t, open(t, dir).Close())
}

func TestSchemaVersions(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir).Close())
	var tables int
	queryFile(t, dir, `SELECT count(*) FROM sqlite_schema WHERE type = 'table'`, &tables)
	var version int
	queryFile(t, dir, `PRAGMA user_version`, &version)
	if tables < 10 || version < 1 {
		t.Errorf("%d tables, schema version %d", tables, version)
	}
	must(t, open(t, dir).Close()) // a second start migrates nothing
	named := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: named, Version: "Parley v1.2.3"})
	must(t, err)
	must(t, s.Close())
	var by string
	queryFile(t, named, `SELECT value FROM meta WHERE key = 'version'`, &by)
	if by != "Parley v1.2.3" {
		t.Errorf("the folder says that %q made its schema", by)
	}

	execFile(t, dir, `PRAGMA user_version = 99`)
	for _, want := range []string{"version 99", "written by a newer Parley", "this version of Parley is older", "run the newer one", "backup"} {
		if msg := openError(t, dir); !strings.Contains(msg, want) {
			t.Errorf("newer schema: %s; want %q in it", msg, want)
		}
	}
	execFile(t, dir, `INSERT INTO meta (key, value) VALUES ('version', 'Parley v9.9.9') ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Version: "Parley v1.2.3"})
	if err == nil || !strings.Contains(err.Error(), "written by Parley v9.9.9; Parley v1.2.3 is older") {
		t.Errorf("newer schema: %v", err)
	}
	queryFile(t, dir, `PRAGMA user_version`, &version)
	if version != 99 {
		t.Errorf("the refused folder was changed: version %d", version)
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "parley.db"), []byte(strings.Repeat("not a database ", 500)), 0o600))
	if msg := openError(t, dir); !strings.Contains(msg, "restore") {
		t.Errorf("damaged file: %s", msg)
	}
}

func queryFile(t *testing.T, dir, query string, dest any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "parley.db")+"?vfs=parley")
	must(t, err)
	must(t, db.QueryRowContext(t.Context(), query).Scan(dest))
	must(t, db.Close())
}

func execFile(t testing.TB, dir, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "parley.db")+"?vfs=parley")
	must(t, err)
	_, err = db.ExecContext(t.Context(), query)
	must(t, err)
	must(t, db.Close())
}
