package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley"
)

// Connect opens the session of device, which is an Identity.DeviceKey, and
// raises its generation: saves of earlier connections are refused from then on.
// Generations rise across all devices, and go on rising after a session has
// ended. With clean, or when the session has expired, what was kept for the
// device is forgotten first, and Present is false. expiry is how long the session
// outlives this connection, in whole seconds; one of 0 is forgotten by the next
// Connect, should nobody have called Leave.
func (s *Store) Connect(ctx context.Context, device string, clean bool, expiry time.Duration) (parley.Session, error) {
	if device == "" {
		return parley.Session{}, parley.Errorf(parley.CodeInvalid, "connect without a device")
	}
	var session parley.Session
	err := s.do(ctx, 3, workFunc(func(w *writer) (err error) {
		session, err = w.connect(device, clean, seconds(expiry))
		return err
	}))
	if err != nil {
		return parley.Session{}, fmt.Errorf("connect device: %w", err)
	}
	return session, nil
}

func seconds(expiry time.Duration) int64 {
	return int64(min(expiry, parley.MaxSessionExpiry) / time.Second)
}

func (w *writer) connect(device string, clean bool, expiry int64) (session parley.Session, err error) {
	session.Device = device
	if !clean {
		if session.Present, err = w.find(`SELECT CASE epoch WHEN ? THEN seen ELSE 0 END, last_id FROM sessions WHERE device = ? AND expiry > 0 AND (away_since = 0 OR away_since + expiry * 1000 > ?)`,
			[]any{w.store.epoch, device, w.now}, &session.Seen, &session.LastID); err != nil {
			return session, err
		}
	}
	if !session.Present {
		if err := w.forget(device); err != nil {
			return session, err
		}
	}
	if session.Generation, err = w.nextGeneration(); err != nil {
		return session, err
	}
	if _, err := w.exec(`INSERT INTO sessions (device, generation, expiry, seen, epoch) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET generation = excluded.generation, expiry = excluded.expiry,
			seen = excluded.seen, epoch = excluded.epoch, away_since = 0, last_id = 0`,
		device, session.Generation, expiry, session.Seen, w.store.epoch); err != nil {
		return session, err
	}
	err = w.each(`SELECT filter, qos FROM subscriptions WHERE device = ? ORDER BY filter`, []any{session.Device}, func(rows *sql.Rows) error {
		var sub parley.Subscription
		err := rows.Scan(&sub.Filter, &sub.QoS)
		session.Subscriptions = append(session.Subscriptions, sub)
		return err
	})
	return session, err
}

func (w *writer) nextGeneration() (n int64, err error) {
	_, err = w.find(`INSERT INTO meta (key, value) VALUES ('generation', 1)
		ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`, nil, &n)
	return n, err
}

func (w *writer) forget(device string) error {
	if _, err := w.exec(`DELETE FROM subscriptions WHERE device = ?`, device); err != nil {
		return err
	}
	_, err := w.exec(`DELETE FROM cursors WHERE device = ?`, device)
	return err
}

// Cursors returns the device's cursors in streams, in any order. Streams in which
// it has none are left out.
func (s *Store) Cursors(ctx context.Context, device string, streams []parley.Stream) ([]parley.Cursor, error) {
	if len(streams) == 0 {
		return nil, nil
	}
	names, err := json.Marshal(streams)
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", err)
	}
	var cursors []parley.Cursor
	err = s.query(ctx, "read cursors", `SELECT stream, epoch, seq FROM cursors WHERE device = ? AND stream IN (SELECT value FROM json_each(?))`,
		[]any{device, string(names)}, func(rows *sql.Rows) error {
			var c parley.Cursor
			err := rows.Scan((*string)(&c.Stream), &c.Epoch, &c.Seq)
			cursors = append(cursors, c)
			return err
		})
	return cursors, err
}

// SaveSubscription makes a filter one of the device's subscriptions, or changes
// its QoS, with the positions it starts from. It is refused with CodeConflict
// when generation is not the session's, with CodeNotFound when there is no
// session. It is idempotent.
func (s *Store) SaveSubscription(ctx context.Context, device string, generation int64, save parley.SubscriptionSave) error {
	starts := slices.Clone(save.Starts)
	insert := startCursor
	if save.Reset {
		insert = resetCursor
	}
	return s.changeSession(ctx, "save subscription", device, generation, 1+len(starts), func(w *writer) error {
		if _, err := w.exec(`INSERT INTO subscriptions (device, filter, qos) VALUES (?, ?, ?)
			ON CONFLICT (device, filter) DO UPDATE SET qos = excluded.qos`, device, save.Filter, int64(save.QoS)); err != nil {
			return err
		}
		for _, c := range starts {
			if _, err := w.exec(insert, device, string(c.Stream), c.Epoch, c.Seq); err != nil {
				return err
			}
		}
		if save.Reset {
			_, err := w.exec(`UPDATE sessions SET seen = 0 WHERE device = ?`, device)
			return err
		}
		_, err := w.exec(raiseSeen, save.Seen, device, generation)
		return err
	})
}

const (
	startCursor = `INSERT INTO cursors (device, stream, epoch, seq) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
	resetCursor = `INSERT INTO cursors (device, stream, epoch, seq) VALUES (?, ?, ?, ?)
		ON CONFLICT (device, stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq`
)

const raiseSeen = `UPDATE sessions SET seen = max(seen, ?) WHERE device = ? AND generation <= ?`

// DeleteSubscription drops a subscription and the cursors of streams. It is
// refused as SaveSubscription is. It is idempotent.
func (s *Store) DeleteSubscription(ctx context.Context, device string, generation int64, filter string, streams []parley.Stream) error {
	return s.deleteSubscription(ctx, device, generation, filter, `DELETE FROM cursors WHERE device = ? AND stream IN (SELECT value FROM json_each(?))`, streams)
}

// DeleteMembership drops a subscription and all cursors but those of keep. It is
// refused as SaveSubscription is. It is idempotent.
func (s *Store) DeleteMembership(ctx context.Context, device string, generation int64, filter string, keep []parley.Stream) error {
	return s.deleteSubscription(ctx, device, generation, filter, `DELETE FROM cursors WHERE device = ? AND stream NOT IN (SELECT value FROM json_each(?))`, keep)
}

func (s *Store) deleteSubscription(ctx context.Context, device string, generation int64, filter, query string, streams []parley.Stream) error {
	if streams == nil {
		streams = []parley.Stream{} // null is not a list
	}
	names, err := json.Marshal(streams)
	if err != nil {
		return fmt.Errorf("delete subscription: %w", err)
	}
	return s.changeSession(ctx, "delete subscription", device, generation, 1+len(streams), func(w *writer) error {
		if _, err := w.exec(`DELETE FROM subscriptions WHERE device = ? AND filter = ?`, device, filter); err != nil {
			return err
		}
		_, err := w.exec(query, device, string(names))
		return err
	})
}

// changeSession applies a change if generation is the session's.
func (s *Store) changeSession(ctx context.Context, action, device string, generation int64, size int, change workFunc) error {
	var refusal *parley.Error
	err := s.do(ctx, size, workFunc(func(w *writer) error {
		var current int64
		found, err := w.find(`SELECT generation FROM sessions WHERE device = ?`, []any{device}, &current)
		refusal = nil
		switch {
		case err != nil:
			return err
		case !found:
			refusal = parley.Errorf(parley.CodeNotFound, "this device has no session")
			return nil
		case current != generation:
			refusal = parley.Errorf(parley.CodeConflict, "the device has connected again")
			return nil
		}
		return change(w)
	}))
	if err == nil && refusal != nil {
		err = refusal
	}
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// SaveCursors raises cursors; a lower seq of the same epoch changes nothing, a
// cursor of another epoch is replaced, one that does not exist is made. A save
// without a stream only raises Seen. Saves of unknown devices and of generations
// older than the session's are ignored. A power cut may take the newest saves back.
func (s *Store) SaveCursors(ctx context.Context, saves []parley.CursorSave) error {
	if len(saves) == 0 {
		return nil
	}
	saves = slices.Clone(saves)
	err := s.doLazily(ctx, len(saves), workFunc(func(w *writer) error {
		for i := range saves {
			if err := w.saveCursor(&saves[i]); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("save cursors: %w", err)
	}
	return nil
}

func (w *writer) saveCursor(c *parley.CursorSave) error {
	if c.Cursor.Stream != "" {
		if _, err := w.exec(saveCursor, c.Device, string(c.Cursor.Stream), c.Cursor.Epoch, c.Cursor.Seq, c.Device, c.Generation); err != nil {
			return err
		}
	}
	if c.Seen == 0 {
		return nil
	}
	_, err := w.exec(raiseSeen, c.Seen, c.Device, c.Generation)
	return err
}

const saveCursor = `INSERT INTO cursors (device, stream, epoch, seq)
	SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM sessions WHERE device = ? AND generation <= ?)
	ON CONFLICT (device, stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq
	WHERE excluded.epoch <> cursors.epoch OR excluded.seq > cursors.seq`
