package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// The scrub reads every page of the database, and with that compares it with its
// checksum, before somebody needs it: a flipped bit is to be found while there is
// a backup from before.
const (
	scrubEvery = 24 * time.Hour
	scrubAgain = time.Minute // after one that broke off
	scrubPages = 64          // at a time: 256 KiB, some milliseconds
	scrubRest  = 9           // times as long as a piece took, it rests: at most a tenth of one core
)

// readPages reads pages of the file through a connection that keeps none.
const readPages = `WITH RECURSIVE n (page) AS (SELECT ? UNION ALL SELECT page + 1 FROM n WHERE page < ?)
	SELECT sum(length(p.data)) FROM n CROSS JOIN sqlite_dbpage p WHERE p.pgno = n.page`

// scrubAlways scrubs until ctx ends, at first at once unless the database has
// just been verified.
func (s *Store) scrubAlways(ctx context.Context, verified bool) {
	wait := time.Duration(0)
	if verified {
		wait = scrubEvery
	}
	for sleep(ctx, wait) {
		wait = scrubEvery
		began := time.Now()
		n, err := s.scrub(ctx, scrubRest)
		switch {
		case ctx.Err() != nil || s.health.final.Load():
			return // whoever found damage has logged it
		case err != nil:
			wait = scrubAgain
			s.logger.Warn("scrub broke off", "error", err)
		default:
			s.logger.Info("scrubbed the database", "pages", n, "took", time.Since(began).Round(time.Millisecond))
		}
	}
}

// scrub reads all pages once. Damage takes the store down, as it does wherever
// it is found.
func (s *Store) scrub(ctx context.Context, rest int) (pages int64, err error) {
	for first, last := int64(1), int64(1); first <= last; first += scrubPages {
		began := time.Now()
		if last, err = s.pageCount(ctx); err != nil {
			return first, err
		}
		if err := s.scrubPiece(ctx, first, min(first+scrubPages-1, last)); err != nil {
			return first, err
		}
		if pages = last; !sleep(ctx, time.Duration(rest)*time.Since(began)) {
			return pages, ctx.Err()
		}
	}
	return pages, nil
}

func (s *Store) pageCount(ctx context.Context) (n int64, err error) {
	err = s.read(ctx, "count pages", func(r *readers) (*sql.Rows, error) {
		return r.scrub.QueryContext(ctx, `PRAGMA page_count`)
	}, func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n, err
}

func (s *Store) scrubPiece(ctx context.Context, first, last int64) error {
	return s.read(ctx, fmt.Sprintf("scrub pages %d to %d", first, last), func(r *readers) (*sql.Rows, error) {
		return r.scrub.QueryContext(ctx, readPages, first, last)
	}, func(rows *sql.Rows) error { return rows.Scan(new(sql.NullInt64)) })
}

// sleep reports whether it was not woken by the end of ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
