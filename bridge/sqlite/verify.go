package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/parley-chat/parley"
)

// verifyAtOpen is the size up to which a database is verified whenever it is
// opened. It takes some 25 ms for each MiB.
const verifyAtOpen = 8 << 20

// Verify reads the whole database and compares it with its checksums: pages,
// indexes with their tables, the rows of streams and entries. It takes as long
// as reading the file does and more; writers go on meanwhile. Damage takes the
// store down, as it does wherever it is found.
func (s *Store) Verify(ctx context.Context) error {
	var damage error
	err := s.read(ctx, "verify", func(r *readers) (*sql.Rows, error) {
		return r.pool.QueryContext(ctx, `PRAGMA integrity_check(1)`)
	}, func(rows *sql.Rows) error {
		var verdict string
		err := rows.Scan(&verdict)
		if err == nil && verdict != "ok" {
			damage = fmt.Errorf("%w: %s", errDamaged, verdict)
		}
		return err
	})
	if err != nil {
		return err
	}
	if damage != nil {
		return s.damaged("verify", damage)
	}
	if err := s.verifyStreams(ctx); err != nil {
		return err
	}
	return s.verifyEntries(ctx)
}

func (s *Store) verifyStreams(ctx context.Context) error {
	return s.query(ctx, "verify streams", `SELECT id, control, first, name, sum FROM streams`, nil, func(rows *sql.Rows) error {
		var id, control, first, sum int64
		var name string
		if err := rows.Scan(&id, &control, &first, &name, &sum); err != nil {
			return err
		}
		return checkStream(id, control, first, name, sum)
	})
}

// verifyEntries reads every entry in the order of the table.
func (s *Store) verifyEntries(ctx context.Context) error {
	var last parley.Entry
	return s.query(ctx, "verify entries", `SELECT coalesce((SELECT name FROM streams s WHERE s.id = e.stream), ''), `+entryColumns+`
		FROM entries e ORDER BY e.stream, e.seq`, nil, func(rows *sql.Rows) error {
		var e parley.Entry
		if err := scanEntry(rows, &e, (*string)(&e.Stream)); err != nil {
			return err
		}
		want := int64(1)
		if e.Stream == last.Stream {
			want = last.Seq + 1
		}
		last = e
		return checkDense([]parley.Entry{e}, want)
	})
}

// verifySmall verifies a database that is small enough to do so at every start,
// and reports whether it is.
func (s *Store) verifySmall(ctx context.Context) (small bool, err error) {
	info, err := os.Stat(filepath.Join(s.dir, databaseFile))
	if err != nil {
		return false, fmt.Errorf("verify: %w", err)
	}
	if info.Size() > verifyAtOpen {
		return false, nil
	}
	return true, s.Verify(ctx)
}
