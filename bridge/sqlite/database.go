package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/bridge/sqlite/pages"
	"github.com/parley-chat/parley/internal/crash"
)

// database is the connection that writes, with its prepared statements. It has
// one owner: whoever opens the store, then the writer.
type database struct {
	pool       *sql.DB
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	lazy       bool // commits are not fsynced
}

// openDatabase opens the file for writing, in WAL mode with an fsync in every
// commit. It fails if the file system does not do WAL.
func openDatabase(ctx context.Context, dir string) (*database, error) {
	pool, err := openPool(dir,
		"busy_timeout(5000)",
		"synchronous(FULL)",
		"fullfsync(1)",            // a Mac's fsync does not reach the disk without it
		"checkpoint_fullfsync(1)", // the same for checkpoints
		"wal_autocheckpoint(0)",   // ours reports errors, SQLite's swallows them
		"journal_size_limit(67108864)",
		"secure_delete(1)", // a deleted message is overwritten; see purge.go
		"cache_size(-16384)",
	)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect: %w", err), pool.Close())
	}
	d := &database{pool: pool, conn: conn, statements: map[string]*sql.Stmt{}}
	var mode string
	err = conn.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
	if err == nil && mode != "wal" {
		err = fmt.Errorf("this file system gives journal mode %q, Parley needs wal: use a local disk", mode)
	}
	if err == nil {
		err = syncDir(dir) // the log's file is new; SQLite syncs its name too, but goes on when that fails
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func openPool(dir string, pragmas ...string) (*sql.DB, error) {
	return openFile(filepath.Join(dir, databaseFile), pragmas...)
}

func openFile(path string, pragmas ...string) (*sql.DB, error) {
	vfs, err := pages.Register()
	if err != nil {
		return nil, err
	}
	name, err := fileName(path, url.Values{"_pragma": pragmas, "vfs": {vfs}})
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", name)
}

func fileName(path string, options url.Values) (string, error) {
	path, err := filepath.Abs(path)
	name := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	return name.String(), err
}

// prepareStore migrates, makes durable whatever can be read, and returns the
// epoch.
func (d *database) prepareStore(ctx context.Context, o Options) (epoch string, err error) {
	if err := d.migrate(ctx, migrations(), o.Version); err != nil {
		return "", err
	}
	crash.At(crash.FillMigrated)
	if err := d.renewIndex(ctx, search.Version); err != nil {
		return "", fmt.Errorf("begin a new search index: %w", err)
	}
	if err := d.claim(ctx, o.fill); err != nil {
		return "", err
	}
	crash.At(crash.FillClaimed)
	if err := d.checkpointAll(ctx); err != nil {
		return "", err
	}
	if o.fill.on {
		if err := removeMark(o.Dir); err != nil {
			return "", err
		}
	}
	return d.epoch(ctx)
}

// claim gives a new store its epoch, which is fill where it is to be filled. One that is being filled is no other store's,
// and no other store is filled.
func (d *database) claim(ctx context.Context, fill filling) error {
	unfinished, err := d.number(ctx, metaFilling)
	if err != nil {
		return err
	}
	var epoch, origin, holds string
	for key, value := range map[string]*string{"epoch": &epoch, metaOrigin: &origin, metaHolds: &holds} {
		if err := d.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(value); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the %s: %w", key, err)
		}
	}
	switch {
	case epoch == "":
		return d.found(ctx, fill)
	case !fill.on && unfinished != 0:
		return errUnfinished
	case fill.origin != "" && unfinished == 0 && holds == fill.origin:
		return ErrFilled
	case fill.on && unfinished == 0:
		return errors.New("there is a store already; name a folder that does not exist")
	case fill.on && (origin != fill.origin || fill.origin == "" && epoch != fill.epoch):
		return errors.New("this is an unfinished copy of something else; delete the folder, or name another one")
	}
	return nil
}

// found makes a new store.
func (d *database) found(ctx context.Context, fill filling) error {
	query, args := `INSERT INTO meta (key, value) VALUES ('epoch', ?)`, []any{parley.NewID(parley.PrefixEpoch)}
	if fill.on {
		query, args = query+`, ('`+metaFilling+`', 1), ('`+metaOrigin+`', ?)`, []any{fill.epoch, fill.origin}
	}
	if _, err := d.conn.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("save the epoch: %w", err)
	}
	return nil
}

func (d *database) epoch(ctx context.Context) (epoch string, err error) {
	if err := d.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'epoch'`).Scan(&epoch); err != nil {
		return "", fmt.Errorf("read the epoch: %w", err)
	}
	return epoch, nil
}

// number reads a number of the meta table, 0 if it is not there.
func (d *database) number(ctx context.Context, key string) (n int64, err error) {
	err = d.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return n, nil
}

// checkpointAll copies the whole write-ahead log into the database file, fsyncs
// that and empties the log. It relies on no fsync that came before it: commits
// found in the log may have been written by a process that died before its
// fsync, or whose fsync failed.
func (d *database) checkpointAll(ctx context.Context) error {
	var busy, frames, copied int
	err := d.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &copied)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if busy != 0 {
		return errors.New("checkpoint: another process is reading the database")
	}
	return nil
}

// checkpoint copies what it can of the write-ahead log without waiting for
// readers.
func (d *database) checkpoint() error {
	var busy, frames, copied int
	err := d.conn.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &frames, &copied)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// truncate empties the write-ahead log once all of it is in the file, and forgets
// the pages in memory. done tells whether it could: those who read an old state
// have 250 ms to finish, and nobody who begins meanwhile does so from the log.
func (d *database) truncate() (done bool, err error) {
	var busy, frames, copied int
	ctx := context.Background()
	if _, err = d.conn.ExecContext(ctx, `PRAGMA busy_timeout = 250`); err != nil {
		return false, err
	}
	err = d.conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &copied)
	for _, pragma := range []string{`PRAGMA busy_timeout = 5000`, `PRAGMA shrink_memory`} {
		_, failed := d.conn.ExecContext(ctx, pragma)
		err = errors.Join(err, failed)
	}
	if err != nil {
		return false, fmt.Errorf("checkpoint: %w", err)
	}
	return busy == 0, nil
}

// sync says whether the next commits are fsynced. In WAL mode one that is takes
// those before it along.
func (d *database) sync(on bool) error {
	if d.lazy == !on {
		return nil
	}
	level := `PRAGMA synchronous = FULL`
	if !on {
		level = `PRAGMA synchronous = NORMAL`
	}
	if _, err := d.conn.ExecContext(context.Background(), level); err != nil {
		return err
	}
	d.lazy = !on
	return nil
}

// statement returns the prepared statement for query, which is a constant: the
// set of statements is bounded.
func (d *database) statement(query string) (*sql.Stmt, error) {
	if st, ok := d.statements[query]; ok {
		return st, nil
	}
	st, err := d.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	d.statements[query] = st
	return st, nil
}

func (d *database) close() error {
	var errs []error
	for _, st := range d.statements {
		errs = append(errs, st.Close())
	}
	errs = append(errs, d.conn.Close(), d.pool.Close())
	return errors.Join(errs...)
}

// readers are the connections that read. A statement that serves one page of
// anything is prepared once.
type readers struct {
	pool, scrub                                                                               *sql.DB // scrub has one connection, which keeps no pages
	after, before, head, first, byID, ids, edits, amendments, controls, sinceFirst, sinceNext *sql.Stmt
	found, conversation                                                                       *sql.Stmt
}

// statements returns the queries with where their statements go.
func (r *readers) statements() map[string]**sql.Stmt {
	return map[string]**sql.Stmt{
		readAfter: &r.after, readBefore: &r.before, readHead: &r.head, readFirst: &r.first, readByID: &r.byID, readIDs: &r.ids, readEdits: &r.edits,
		readAmendments: &r.amendments, selectFound: &r.found, readConversation: &r.conversation,
		readControls: &r.controls, readSince: &r.sinceFirst, readSinceEntry: &r.sinceNext,
	}
}

func openReaders(ctx context.Context, dir string) (*readers, error) {
	pool, err := openPool(dir, "busy_timeout(5000)", "query_only(1)", "cache_size(-4096)")
	if err != nil {
		return nil, err
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	r := &readers{pool: pool}
	if r.scrub, err = openPool(dir, "busy_timeout(5000)", "query_only(1)", "cache_size(1)"); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	r.scrub.SetMaxOpenConns(1)
	for query, st := range r.statements() {
		if *st, err = pool.PrepareContext(ctx, query); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare to read: %w", err), r.close())
		}
	}
	return r, nil
}

func (r *readers) close() error {
	var errs []error
	for _, st := range r.statements() {
		if *st != nil {
			errs = append(errs, (*st).Close())
		}
	}
	return errors.Join(append(errs, r.scrub.Close(), r.pool.Close())...)
}
