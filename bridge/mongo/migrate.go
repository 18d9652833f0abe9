package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// firstSchema is the version of the documents before the first migration.
const firstSchema = 1

// metaStore is the _id of the document that says what store this is.
const metaStore = "store"

// migration brings the documents to the next schema version. There are no
// transactions: it may end anywhere, is made again from its beginning then, and two
// processes may be in it at once. So doing it twice, or half of it, has to be harmless.
type migration func(ctx context.Context, s *Store) error

// migrations returns the steps from firstSchema to the present schema. A step that
// has been released is never edited; a change is a new step at the end, and a
// database from before it is kept for the tests: see cmd/parley/testdata/kept. New
// collections and indexes need none, unless an older Parley would do harm to them.
func migrations() []migration { return []migration{toSealed, toAttachments} }

// toSealed has nothing to change. But sites may be sealed since (see bridge/seal), and
// an older Parley would show ciphertexts, and write plain texts beside them.
func toSealed(context.Context, *Store) error { return nil }

// toAttachments has nothing to change. But an older Parley, which knows no files,
// would delete messages and leave theirs behind.
func toAttachments(context.Context, *Store) error { return nil }

// SchemaVersion is the version that this package makes of any older one.
func SchemaVersion() int { return newestSchema(migrations()) }

// newestSchema is the version that the steps lead to.
func newestSchema(steps []migration) int { return firstSchema + len(steps) }

// checkSchema refuses a database that a newer Parley has made. It writes nothing.
func (s *Store) checkSchema(ctx context.Context, o Options) error {
	m, err := one[metaDoc](ctx, s, s.c.meta, bson.D{field("_id", metaStore)})
	if err != nil || m == nil || m.Schema <= newestSchema(o.steps) {
		return err
	}
	maker, us := m.Version, o.Version
	if maker == "" {
		maker = "a newer Parley"
	}
	if us == "" {
		us = "this version of Parley"
	}
	return fmt.Errorf("the database has schema version %d, written by %s; %s is older and knows up to %d: run the newer one, or restore a backup made before the upgrade", m.Schema, maker, us, newestSchema(o.steps))
}

// migrate brings the documents from the version had to the newest, and notes each
// step that is done: one that was interrupted is made again.
func (s *Store) migrate(ctx context.Context, had int, o Options) error {
	for n := had; n < newestSchema(o.steps); n++ {
		s.logger.Info("bringing the database up to date", "schema", n+1)
		if err := o.steps[n-firstSchema](ctx, s); err != nil {
			return fmt.Errorf("bring the database to schema version %d: %w", n+1, err)
		}
		err := s.retry(ctx, "note the schema version", func(ctx context.Context) error {
			// Where another process was faster nothing matches, and that is well.
			_, err := s.c.meta.UpdateOne(ctx, bson.D{field("_id", metaStore), field("schema", n)}, set(field("schema", n+1), field("version", o.Version)))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
