package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/parley-chat/parley"
)

// Connect opens the session of device, which is an Identity.DeviceKey, and
// raises its generation: saves of earlier connections are refused from then on.
// Generations rise across all devices, and go on rising after DeleteSession.
// With clean, what was kept for the device is forgotten first, and Present is
// false. keeps says whether the session outlives its connection; one that does
// not is forgotten by the next Connect, should nobody have deleted it.
func (s *Store) Connect(ctx context.Context, device string, clean, keeps bool) (parley.Session, error) {
	if device == "" {
		return parley.Session{}, parley.Errorf(parley.CodeInvalid, "connect without a device")
	}
	var session parley.Session
	err := s.do(ctx, 3, workFunc(func(w *writer) (err error) {
		session, err = w.connect(device, clean, keeps)
		return err
	}))
	if err != nil {
		return parley.Session{}, fmt.Errorf("connect device: %w", err)
	}
	return session, nil
}

func (w *writer) connect(device string, clean, keeps bool) (session parley.Session, err error) {
	session.Device = device
	if !clean {
		if session.Present, err = w.find(`SELECT 1 FROM sessions WHERE device = ? AND keeps`, []any{device}, new(int)); err != nil {
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
	if _, err := w.exec(`INSERT INTO sessions (device, generation, keeps) VALUES (?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET generation = excluded.generation, keeps = excluded.keeps`, device, session.Generation, keeps); err != nil {
		return session, err
	}
	return session, w.loadSession(&session)
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

func (w *writer) loadSession(session *parley.Session) error {
	err := w.each(`SELECT filter, qos FROM subscriptions WHERE device = ? ORDER BY filter`, []any{session.Device}, func(rows *sql.Rows) error {
		var sub parley.Subscription
		err := rows.Scan(&sub.Filter, &sub.QoS)
		session.Subscriptions = append(session.Subscriptions, sub)
		return err
	})
	if err != nil {
		return err
	}
	return w.each(`SELECT stream, epoch, seq FROM cursors WHERE device = ? ORDER BY stream`, []any{session.Device}, func(rows *sql.Rows) error {
		var c parley.Cursor
		err := rows.Scan((*string)(&c.Stream), &c.Epoch, &c.Seq)
		session.Cursors = append(session.Cursors, c)
		return err
	})
}

// SaveSubscription makes sub one of the device's subscriptions, or changes its
// QoS, and keeps cursors for the streams where the device has none yet. It is
// refused with CodeConflict when generation is not the session's, with
// CodeNotFound when there is no session. It is idempotent.
func (s *Store) SaveSubscription(ctx context.Context, device string, generation int64, sub parley.Subscription, cursors []parley.Cursor) error {
	cursors = slices.Clone(cursors)
	return s.changeSession(ctx, "save subscription", device, generation, 1+len(cursors), func(w *writer) error {
		if _, err := w.exec(`INSERT INTO subscriptions (device, filter, qos) VALUES (?, ?, ?)
			ON CONFLICT (device, filter) DO UPDATE SET qos = excluded.qos`, device, sub.Filter, int64(sub.QoS)); err != nil {
			return err
		}
		for _, c := range cursors {
			if _, err := w.exec(`INSERT INTO cursors (device, stream, epoch, seq) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				device, string(c.Stream), c.Epoch, c.Seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteSubscription drops a subscription and the cursors of streams. It is
// refused as SaveSubscription is. It is idempotent.
func (s *Store) DeleteSubscription(ctx context.Context, device string, generation int64, filter string, streams []parley.Stream) error {
	streams = slices.Clone(streams)
	return s.changeSession(ctx, "delete subscription", device, generation, 1+len(streams), func(w *writer) error {
		if _, err := w.exec(`DELETE FROM subscriptions WHERE device = ? AND filter = ?`, device, filter); err != nil {
			return err
		}
		for _, stream := range streams {
			if _, err := w.exec(`DELETE FROM cursors WHERE device = ? AND stream = ?`, device, string(stream)); err != nil {
				return err
			}
		}
		return nil
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
// cursor of another epoch is replaced, one that does not exist is made. Saves of
// unknown devices and of generations older than the session's are ignored.
func (s *Store) SaveCursors(ctx context.Context, saves []parley.CursorSave) error {
	if len(saves) == 0 {
		return nil
	}
	saves = slices.Clone(saves)
	err := s.do(ctx, len(saves), workFunc(func(w *writer) error {
		for i := range saves {
			c := &saves[i]
			if _, err := w.exec(saveCursor, c.Device, string(c.Cursor.Stream), c.Cursor.Epoch, c.Cursor.Seq, c.Device, c.Generation); err != nil {
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

const saveCursor = `INSERT INTO cursors (device, stream, epoch, seq)
	SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM sessions WHERE device = ? AND generation <= ?)
	ON CONFLICT (device, stream) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq
	WHERE excluded.epoch <> cursors.epoch OR excluded.seq > cursors.seq`

// DeleteSession forgets a device: its session, subscriptions and cursors. A
// session that has connected again, with a newer generation, is left alone. It
// is idempotent.
func (s *Store) DeleteSession(ctx context.Context, device string, generation int64) error {
	err := s.do(ctx, 3, workFunc(func(w *writer) error {
		old, err := w.find(`SELECT 1 FROM sessions WHERE device = ? AND generation <= ?`, []any{device, generation}, new(int))
		if err != nil || !old {
			return err
		}
		if err := w.forget(device); err != nil {
			return err
		}
		_, err = w.exec(`DELETE FROM sessions WHERE device = ?`, device)
		return err
	}))
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}
