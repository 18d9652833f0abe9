package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/parley-chat/parley/bridge/sqlite/pages"
)

// sealedFile is where a database is copied to, before it takes the old one's
// place.
const sealedFile = databaseFile + "-sealed"

// sealOld copies a database from before pages had checksums into one whose pages
// have. Until the copy is whole and durable, the old one stays as it is.
func (s *Store) sealOld(ctx context.Context) error {
	path, copied := filepath.Join(s.dir, databaseFile), filepath.Join(s.dir, sealedFile)
	if err := os.Remove(copied); err != nil && !errors.Is(err, os.ErrNotExist) { // of a start that was interrupted
		return fmt.Errorf("give the pages checksums: %w", err)
	}
	old, err := unsealed(path)
	if err != nil || !old {
		return err
	}
	s.logger.Info("copying the database, so that its pages get checksums")
	if err := createFile(copied); err != nil {
		return err
	}
	db, err := openFile(copied, "journal_mode(OFF)", "synchronous(OFF)") // until the end it counts for nothing
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := errors.Join(copyFrom(ctx, db, path), db.Close()); err != nil {
		return fmt.Errorf("give the pages checksums: %w", errors.Join(err, os.Remove(copied)))
	}
	if err := syncFile(copied); err != nil {
		return err
	}
	if err := os.Rename(copied, path); err != nil {
		return fmt.Errorf("give the pages checksums: %w", err)
	}
	return syncDir(s.dir)
}

// unsealed reports whether the database has no checksums yet. Nobody else has it
// open: closing the file would take SQLite's locks along.
func unsealed(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("read the database's header: %w", err)
	}
	defer func() { _ = f.Close() }()
	first := make([]byte, pages.Size)
	if _, err := io.ReadFull(f, first); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read the database's header: %w", err)
	}
	return pages.Unsealed(first), nil
}

// copyFrom makes db, which is empty, what the database at path is.
func copyFrom(ctx context.Context, db *sql.DB, path string) error {
	name, err := fileName(path, url.Values{"vfs": {pages.System()}})
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `ATTACH ? AS old`, name); err != nil {
		return err
	}
	// With all of its log in it, the file may be replaced: a log that stayed
	// beside would be taken for the new one's.
	var busy, frames, moved int
	if err := db.QueryRowContext(ctx, `PRAGMA old.wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved); err != nil || busy != 0 {
		return errors.Join(err, fmt.Errorf("checkpoint: busy %d", busy))
	}
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA old.user_version`).Scan(&version); err != nil {
		return err
	}
	statements := []string{}
	for _, query := range []string{
		`SELECT sql FROM old.sqlite_schema WHERE type = 'table'`,
		`SELECT 'INSERT INTO main.' || name || ' SELECT * FROM old.' || name FROM old.sqlite_schema WHERE type = 'table'`,
		`SELECT sql FROM old.sqlite_schema WHERE type = 'index' AND sql NOT NULL`,
		fmt.Sprintf(`SELECT 'PRAGMA main.user_version = %d'`, version),
	} {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		err = scanAll(rows, func(rows *sql.Rows) error {
			statements = append(statements, "")
			return rows.Scan(&statements[len(statements)-1])
		})
		if err != nil {
			return err
		}
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync %s: %w", filepath.Base(path), err)
	}
	return errors.Join(f.Sync(), f.Close())
}
