package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/parley-chat/parley"
)

// Leave says that a connection has ended: from now on its session lives for
// Expiry. With 0 it ends at once, with its subscriptions and cursors. A session
// that has connected again, with a newer generation, is left alone. It is
// idempotent.
func (s *Store) Leave(ctx context.Context, end parley.SessionEnd) error {
	err := s.doLazily(ctx, 3, workFunc(func(w *writer) error {
		if end.Expiry > 0 {
			_, err := w.exec(`UPDATE sessions SET away_since = ?, expiry = ?, last_id = ? WHERE device = ? AND generation <= ? AND away_since = 0`,
				w.at, seconds(end.Expiry), int64(end.LastID), end.Device, end.Generation)
			return err
		}
		old, err := w.find(`SELECT 1 FROM sessions WHERE device = ? AND generation <= ?`, []any{end.Device, end.Generation}, new(int))
		if err != nil || !old {
			return err
		}
		return w.end(end.Device)
	}))
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// AllLeft says that no device is connected any more: the process that served
// them died. Their sessions live on from now.
func (s *Store) AllLeft(ctx context.Context) error {
	err := s.doLazily(ctx, 1, workFunc(func(w *writer) error {
		_, err := w.exec(`UPDATE sessions SET away_since = ? WHERE away_since = 0`, w.at)
		return err
	}))
	if err != nil {
		return fmt.Errorf("mark sessions as left: %w", err)
	}
	return nil
}

// Sweep ends at most limit sessions that have expired, and returns how many. What
// counts is the clock, not server time: if the clock was ahead for a while, that
// stands still until it has caught up, and no session may end before its time.
func (s *Store) Sweep(ctx context.Context, limit int) (swept int, err error) {
	err = s.doLazily(ctx, limit, workFunc(func(w *writer) error {
		var expired []string
		err := w.each(`SELECT device FROM sessions WHERE away_since > 0 AND away_since + expiry * 1000 <= ? LIMIT ?`, []any{w.now, limit}, func(rows *sql.Rows) error {
			var device string
			err := rows.Scan(&device)
			expired = append(expired, device)
			return err
		})
		if err != nil {
			return err
		}
		for _, device := range expired {
			if err := w.end(device); err != nil {
				return err
			}
		}
		swept = len(expired)
		return nil
	}))
	if err != nil {
		return 0, fmt.Errorf("sweep sessions: %w", err)
	}
	return swept, nil
}

// end deletes a session and all that belongs to it.
func (w *writer) end(device string) error {
	if err := w.forget(device); err != nil {
		return err
	}
	_, err := w.exec(`DELETE FROM sessions WHERE device = ?`, device)
	return err
}
