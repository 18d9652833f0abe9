package sqlite

import (
	"context"
	"database/sql"

	"github.com/parley-chat/parley"
)

// schema3 gives each row that cannot be made from others a checksum of its
// columns.
const schema3 = `
ALTER TABLE entries ADD COLUMN sum INTEGER NOT NULL DEFAULT -1; -- see entrySum
ALTER TABLE streams ADD COLUMN sum INTEGER NOT NULL DEFAULT -1; -- see streamSum
`

// fillSums gives the rows that are there their checksums.
func fillSums(ctx context.Context, tx *sql.Tx) error {
	streams := map[int64]parley.Stream{}
	controls := map[int64]int64{}
	rows, err := tx.QueryContext(ctx, `SELECT id, name, control FROM streams`)
	if err != nil {
		return err
	}
	err = scanAll(rows, func(rows *sql.Rows) error {
		var id, control int64
		var name string
		err := rows.Scan(&id, &name, &control)
		streams[id], controls[id] = parley.Stream(name), control
		return err
	})
	if err != nil {
		return err
	}
	for id, stream := range streams {
		if _, err := tx.ExecContext(ctx, `UPDATE streams SET sum = ? WHERE id = ?`, streamSum(id, controls[id], 0, string(stream)), id); err != nil {
			return err
		}
		if err := fillStream(ctx, tx, id, stream); err != nil {
			return err
		}
	}
	return nil
}

// fillStream goes page by page: rows are not read while they are written.
func fillStream(ctx context.Context, tx *sql.Tx, id int64, stream parley.Stream) error {
	const page = 1000
	var scratch []byte
	for after := int64(0); ; {
		var entries []parley.Entry
		rows, err := tx.QueryContext(ctx, `SELECT `+sentColumns+` FROM entries e WHERE e.stream = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`, id, after, page)
		if err != nil {
			return err
		}
		err = scanAll(rows, func(rows *sql.Rows) error {
			entries = append(entries, parley.Entry{Stream: stream})
			return rows.Scan(sentFields(&entries[len(entries)-1])...)
		})
		if err != nil {
			return err
		}
		for i := range entries {
			if _, err := tx.ExecContext(ctx, `UPDATE entries SET sum = ? WHERE stream = ? AND seq = ?`, entrySum(&scratch, &entries[i]), id, entries[i].Seq); err != nil {
				return err
			}
			after = entries[i].Seq
		}
		if len(entries) < page {
			return nil
		}
	}
}
