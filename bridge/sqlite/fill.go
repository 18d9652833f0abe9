package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

var _ bridge.Fillable = (*Filling)(nil)

// Rows of the meta table of a store that is being made a copy: that it is, and of what
// if it is not of a store with the same epoch.
const (
	metaFilling = "filling"
	metaOrigin  = "origin"

	// Of what a store was filled anew, kept after the end of that.
	metaHolds = "holds"
)

// ErrFilled is the error of FillAnew for a store that another FillAnew of the same
// origin has finished. It may have been used since.
var ErrFilled = errors.New("the store was filled with the same already")

// filling is what a store is being made. The zero value is a store as any other.
type filling struct {
	on     bool
	epoch  string // of a new one
	origin string
}

// Filling is a store that is being made a copy of another; see bridge.Fillable.
type Filling struct {
	bridge.Portable // the store as well: what is in it so far
	store           *Store
}

// Fill opens the folder of a store that is to be a copy of the one with that epoch:
// a new one, or one that another Fill of the same epoch has left unfinished.
func Fill(ctx context.Context, o Options, epoch string) (*Filling, error) {
	if !parley.ValidID(epoch) {
		return nil, fmt.Errorf("the store to be copied has no epoch")
	}
	o.fill = filling{on: true, epoch: epoch}
	return fill(ctx, o)
}

// FillAnew opens the folder of a store that is to hold what origin holds, with an epoch
// of its own: a new one, or one that another FillAnew of the same origin has left
// unfinished. It fails with ErrFilled if one has finished it.
func FillAnew(ctx context.Context, o Options, origin string) (*Filling, error) {
	if origin == "" {
		return nil, errors.New("nothing is named that the store is to hold")
	}
	o.fill = filling{on: true, epoch: parley.NewID(parley.PrefixEpoch), origin: origin}
	return fill(ctx, o)
}

func fill(ctx context.Context, o Options) (*Filling, error) {
	s, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Filling{Portable: s, store: s}, nil
}

// Close closes the files. What is unfinished stays so.
func (f *Filling) Close() error { return f.store.Close() }

// PutEntries stores entries as they are; see bridge.Fillable.
func (f *Filling) PutEntries(ctx context.Context, entries []parley.Entry) error {
	err := f.store.doLazily(ctx, len(entries), workFunc(func(w *writer) error {
		w.pages += len(entries) / 4
		for rest := entries; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Stream == rest[0].Stream {
				n++
			}
			if err := w.putStream(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("put entries: %w", err)
	}
	return nil
}

// putStream stores entries of one stream.
func (w *writer) putStream(entries []parley.Entry) error {
	stream := entries[0].Stream
	id, err := w.streamID(stream)
	if err != nil {
		return err
	}
	var head, control int64
	if _, err := w.find(`SELECT seq FROM entries WHERE stream = ? ORDER BY seq DESC LIMIT 1`, []any{id}, &head); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq > head+1 {
			return fmt.Errorf("%s: entry %d does not follow %d", stream, e.Seq, head)
		}
		if e.Seq <= head {
			if err := w.sameEntry(id, e); err != nil {
				return err
			}
			continue
		}
		if err := w.putEntry(id, e); err != nil {
			return err
		}
		head = e.Seq
		if e.Type.Control() {
			control = e.Seq
		}
	}
	if err := w.insertRows(true); err != nil || control == 0 {
		return err
	}
	return w.setControl(id, stream, control)
}

// putEntry stores one entry, or queues it for insertRows. What a delete has taken is gone from it already.
func (w *writer) putEntry(stream int64, e *parley.Entry) error {
	target, amends := e.Target()
	w.row(stream, e)
	if err := w.insertRows(e.Redacted || amends); err != nil {
		return err
	}
	if e.Redacted {
		if _, err := w.exec(`UPDATE entries SET redacted = 1 WHERE stream = ? AND seq = ?`, stream, e.Seq); err != nil {
			return err
		}
	}
	if amends {
		_, err := w.exec(setTarget, target, stream, e.Seq)
		return err
	}
	return nil
}

// sameEntry fails unless an entry that is there is e.
func (w *writer) sameEntry(stream int64, e *parley.Entry) error {
	var sum int64
	var body []byte
	if _, err := w.find(`SELECT sum, body FROM entries WHERE stream = ? AND seq = ?`, []any{stream, e.Seq}, &sum, &body); err != nil {
		return err
	}
	if sum != entrySum(&w.scratch, e) || !bytes.Equal(body, e.Body) {
		return fmt.Errorf("%s: there is another entry %d", e.Stream, e.Seq)
	}
	return nil
}

// PutStreams notes where histories begin; see bridge.Fillable.
func (f *Filling) PutStreams(ctx context.Context, states []bridge.StreamState) error {
	err := f.store.doLazily(ctx, len(states), workFunc(func(w *writer) error {
		for _, state := range states {
			var id, control int64
			found, err := w.find(`SELECT id, control FROM streams WHERE name = ?`, []any{string(state.Stream)}, &id, &control)
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("%s is not there", state.Stream)
			}
			if _, err := w.exec(`UPDATE streams SET first = ?, sum = ? WHERE id = ?`,
				state.First, streamSum(id, control, state.First, string(state.Stream)), id); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("put streams: %w", err)
	}
	return nil
}

// PutRows stores rows; see bridge.Fillable.
func (f *Filling) PutRows(ctx context.Context, rows []bridge.Row) error {
	err := f.store.doLazily(ctx, len(rows), workFunc(func(w *writer) error {
		kinds := tables()
		for i := range rows {
			t, ok := kinds[rows[i].Kind]
			if !ok {
				return fmt.Errorf("there are no rows of the kind %q", rows[i].Kind)
			}
			if err := t.put(w, rows[i].Value); err != nil {
				return fmt.Errorf("%s: %w", rows[i].Kind, err)
			}
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("put rows: %w", err)
	}
	return nil
}

// Finish makes the store one that can be opened; see bridge.Fillable. Rows of
// conversations may have been copied that still show what was deleted: whoever opens
// the store purges it when they have followed.
func (f *Filling) Finish(ctx context.Context) error {
	err := f.store.do(ctx, 1, workFunc(func(w *writer) error {
		if _, err := w.exec(setMeta, metaPurge, 1); err != nil {
			return err
		}
		if _, err := w.exec(`INSERT OR REPLACE INTO meta (key, value) SELECT ?, value FROM meta WHERE key = ? AND value <> ''`, metaHolds, metaOrigin); err != nil {
			return err
		}
		_, err := w.exec(`DELETE FROM meta WHERE key IN (?, ?)`, metaFilling, metaOrigin)
		return err
	}))
	if err != nil {
		return fmt.Errorf("finish the copy: %w", err)
	}
	return nil
}

// putAs returns how rows are put whose value is a T.
func putAs[T any](put func(*writer, *T) error) func(*writer, json.RawMessage) error {
	return func(w *writer, value json.RawMessage) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return errors.New("a row does not decode") // its error may quote a secret
		}
		return put(w, &v)
	}
}

func putSecret(w *writer, v *bridge.Secret) error {
	_, err := w.exec(`INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, v.Name, v.Value)
	return err
}

func putSite(w *writer, v *parley.Site) error {
	origins, err := json.Marshal(v.Origins)
	if err != nil {
		return err
	}
	_, err = w.exec(saveSite, v.ID, v.Key, v.Name, string(origins))
	return err
}

func putAccount(w *writer, v *parley.Account) error {
	_, err := w.exec(saveAccount, v.Site, v.ID, v.Email, v.Name, string(v.Role), v.PasswordHash)
	return err
}

func putRevocation(w *writer, v *parley.Revocation) error {
	_, err := w.exec(saveRevocation, v.Site, v.User, v.Device, v.Before)
	return err
}

func putSession(w *writer, v *bridge.KeptSession) error {
	if _, err := w.exec(`INSERT INTO sessions (device, generation, expiry, away_since, seen, epoch, last_id) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (device) DO UPDATE SET generation = excluded.generation, expiry = excluded.expiry, away_since = excluded.away_since,
			seen = excluded.seen, epoch = excluded.epoch, last_id = excluded.last_id`,
		v.Device, v.Generation, v.Expiry, v.AwaySince, v.Seen, v.Epoch, int64(v.LastID)); err != nil {
		return err
	}
	if _, err := w.exec(`DELETE FROM subscriptions WHERE device = ?`, v.Device); err != nil {
		return err
	}
	for _, sub := range v.Subscriptions {
		if _, err := w.exec(`INSERT INTO subscriptions (device, filter, qos) VALUES (?, ?, ?)`, v.Device, sub.Filter, int64(sub.QoS)); err != nil {
			return err
		}
	}
	return nil
}

func putCursor(w *writer, v *bridge.KeptCursor) error {
	_, err := w.exec(resetCursor, v.Device, string(v.Stream), v.Epoch, v.Seq)
	return err
}

func putRegister(w *writer, v *bridge.UserRegister) error {
	_, err := w.exec(saveRegister, v.Site, v.User, v.Key, string(v.Value), v.Version)
	return err
}

func putNumber(w *writer, v *bridge.Number) error {
	switch v.Name {
	case bridge.NumberProjected:
		return w.saveReader(conversationReader, v.Value)
	case bridge.NumberGeneration:
		_, err := w.exec(setMeta, "generation", v.Value)
		return err
	}
	return fmt.Errorf("there is no number %q", v.Name)
}
