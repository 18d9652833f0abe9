package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// migration is a step to the next schema version: statements, then what only Go
// can do, in the same transaction.
type migration struct {
	statements string
	fill       func(ctx context.Context, tx *sql.Tx) error // may be nil
}

// SchemaVersion is the version that this package makes of any older one.
func SchemaVersion() int { return len(migrations()) }

// metaVersion is what the Parley is called that made the present schema.
const metaVersion = "version"

// migrate brings the schema up to date, each step in a transaction of its own: what
// a kill interrupts is as if it had not begun, and is made at the next start. by is
// what this Parley is called. A folder that a newer one has made is not changed.
func (d *database) migrate(ctx context.Context, steps []migration, by string) error {
	var version int
	if err := d.conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if version > len(steps) {
		return d.tooNew(ctx, version, len(steps), by)
	}
	for n := version; n < len(steps); n++ {
		if err := d.migrateStep(ctx, n+1, steps[n], by); err != nil {
			return fmt.Errorf("bring the schema to version %d: %w", n+1, err)
		}
	}
	return nil
}

// tooNew says which Parley the folder needs.
func (d *database) tooNew(ctx context.Context, version, known int, by string) error {
	maker := ""
	_ = d.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, metaVersion).Scan(&maker) // who knows what a newer one keeps there
	if maker == "" {
		maker = "a newer Parley"
	}
	if by == "" {
		by = "this version of Parley"
	}
	return fmt.Errorf("the folder has schema version %d, written by %s; %s is older and knows up to %d: run the newer one, or restore a backup made before the upgrade", version, maker, by, known)
}

func (d *database) migrateStep(ctx context.Context, version int, step migration, by string) error {
	tx, err := d.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing to do after a commit
	if _, err := tx.ExecContext(ctx, step.statements); err != nil {
		return err
	}
	if step.fill != nil {
		if err := step.fill(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, setMeta, metaVersion, by); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version)); err != nil {
		return err
	}
	return tx.Commit()
}
