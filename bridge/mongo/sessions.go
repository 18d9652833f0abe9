package mongo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/parley-chat/parley"
)

// sessionDoc is what is kept of a device, but for its cursors. Every change
// gives it a new version and is made only where the version is the one that was
// read: a write that hangs somewhere cannot undo a later one.
type sessionDoc struct {
	Device        string            `bson:"_id"`
	Version       int64             `bson:"version"`
	Generation    int64             `bson:"generation"`
	Born          int64             `bson:"born"`   // generation that it began with; its cursors carry it
	Expiry        int64             `bson:"expiry"` // seconds that it outlives its connection
	Ends          int64             `bson:"ends"`   // Unix milliseconds, 0 while connected
	Seen          int64             `bson:"seen"`   // see parley.CursorSave
	LastID        int32             `bson:"last_id"`
	Epoch         string            `bson:"epoch"` // of seen
	Subscriptions []subscriptionDoc `bson:"subscriptions"`
}

type subscriptionDoc struct {
	Filter string `bson:"filter"`
	QoS    int32  `bson:"qos"`
}

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
	defer s.stripes.lock(device)()
	session := parley.Session{Device: device}
	var born int64
	fresh := false // there is nothing to be forgotten
	err := s.changeSession(ctx, device, func(ctx context.Context, d *sessionDoc, found bool) (verdict, error) {
		if found && d.Generation == session.Generation {
			return leave, nil // an attempt before, whose answer did not come
		}
		session.Present = found && !clean && d.Expiry > 0 && (d.Ends == 0 || d.Ends > s.now().UnixMilli())
		generation, err := s.generations.above(ctx, d.Generation)
		if err != nil {
			return leave, err
		}
		session.Seen, session.LastID = 0, 0
		if !session.Present {
			*d = sessionDoc{Device: device, Version: d.Version, Born: generation, Subscriptions: []subscriptionDoc{}}
		} else if session.LastID = uint16(d.LastID); d.Epoch == s.epoch {
			session.Seen = d.Seen
		}
		d.Generation, d.Expiry, d.Ends, d.LastID, d.Seen, d.Epoch = generation, seconds(expiry), 0, 0, session.Seen, s.epoch
		session.Generation, born, fresh = generation, d.Born, !found
		session.Subscriptions = d.subscriptions()
		return keep, nil
	})
	if err == nil && !session.Present && !fresh {
		err = s.forgetCursors(ctx, device, born)
	}
	if err != nil {
		return parley.Session{}, fmt.Errorf("connect device: %w", err)
	}
	return session, nil
}

func seconds(expiry time.Duration) int64 {
	return int64(min(expiry, parley.MaxSessionExpiry) / time.Second)
}

// subscriptions returns them by filter.
func (d *sessionDoc) subscriptions() []parley.Subscription {
	var subs []parley.Subscription
	for _, sub := range d.Subscriptions {
		subs = append(subs, parley.Subscription{Filter: sub.Filter, QoS: byte(sub.QoS)})
	}
	slices.SortFunc(subs, func(a, b parley.Subscription) int { return cmp.Compare(a.Filter, b.Filter) })
	return subs
}

// verdict is what is to become of a session's document.
type verdict int

const (
	leave  verdict = iota // as it is
	keep                  // as it was changed
	remove                // not at all
)

// changeSession reads the session of device, lets change decide, and writes what
// comes of it unless somebody else has written meanwhile: then it does so again.
// The device is locked.
func (s *Store) changeSession(ctx context.Context, device string, change func(ctx context.Context, d *sessionDoc, found bool) (verdict, error)) error {
	return s.retry(ctx, "change session", func(ctx context.Context) error {
		docs, err := findIn[sessionDoc](ctx, s.c.sessions, bson.D{field("_id", device)})
		if err != nil {
			return err
		}
		d, found := sessionDoc{Device: device}, len(docs) > 0
		if found {
			d = docs[0]
		}
		read := bson.D{field("_id", device), field("version", d.Version)}
		then, err := change(ctx, &d, found)
		if err != nil || then == leave {
			return err
		}
		s.counters.writes.Add(1)
		if then == remove {
			_, err := s.c.sessions.DeleteOne(ctx, read)
			return err
		}
		if d.Version, err = s.generations.above(ctx, 0); err != nil {
			return err
		}
		if !found {
			_, err := s.c.sessions.InsertOne(ctx, d)
			return ifTaken(err)
		}
		r, err := s.c.sessions.ReplaceOne(ctx, read, d)
		if err == nil && r.MatchedCount == 0 {
			return unavailable(errRaced)
		}
		return err
	})
}

// errRaced means that another process has changed a document first.
var errRaced = unavailable(fmt.Errorf("somebody else has changed this"))

// ifTaken makes an insert that came second a fault that passes.
func ifTaken(err error) error {
	if driver.IsDuplicateKeyError(err) {
		return unavailable(errRaced)
	}
	return err
}

// SaveSubscription makes a filter one of the device's subscriptions, or changes
// its QoS, with the positions it starts from. It is refused with CodeConflict
// when generation is not the session's, with CodeNotFound when there is no
// session. It is idempotent.
func (s *Store) SaveSubscription(ctx context.Context, device string, generation int64, save parley.SubscriptionSave) error {
	defer s.stripes.lock(device)()
	err := s.changeSession(ctx, device, func(ctx context.Context, d *sessionDoc, found bool) (verdict, error) {
		if err := d.refusal(found, generation); err != nil {
			return leave, err
		}
		// First: a filter that is there without its positions would start somewhere else.
		if err := s.startCursors(ctx, d, save); err != nil {
			return leave, err
		}
		d.Subscriptions = slices.DeleteFunc(d.Subscriptions, func(sub subscriptionDoc) bool { return sub.Filter == save.Filter })
		d.Subscriptions = append(d.Subscriptions, subscriptionDoc{Filter: save.Filter, QoS: int32(save.QoS)})
		if d.Seen = max(d.Seen, save.Seen); save.Reset {
			d.Seen = 0
		}
		return keep, nil
	})
	if err != nil {
		return fmt.Errorf("save subscription: %w", err)
	}
	return nil
}

// refusal returns why a change by a connection of that generation is refused.
func (d *sessionDoc) refusal(found bool, generation int64) error {
	switch {
	case !found:
		return parley.Errorf(parley.CodeNotFound, "this device has no session")
	case d.Generation != generation:
		return parley.Errorf(parley.CodeConflict, "the device has connected again")
	}
	return nil
}

// DeleteSubscription drops a subscription and the cursors of streams. It is
// refused as SaveSubscription is. It is idempotent.
func (s *Store) DeleteSubscription(ctx context.Context, device string, generation int64, filter string, streams []parley.Stream) error {
	return s.deleteSubscription(ctx, device, generation, filter, func(ctx context.Context, d *sessionDoc) error {
		return s.deleteCursors(ctx, d, streams)
	})
}

// DeleteMembership drops a subscription and all cursors but those of keep. It is
// refused as SaveSubscription is. It is idempotent.
func (s *Store) DeleteMembership(ctx context.Context, device string, generation int64, filter string, keep []parley.Stream) error {
	return s.deleteSubscription(ctx, device, generation, filter, func(ctx context.Context, d *sessionDoc) error {
		return s.deleteOtherCursors(ctx, d, keep)
	})
}

func (s *Store) deleteSubscription(ctx context.Context, device string, generation int64, filter string, drop func(context.Context, *sessionDoc) error) error {
	defer s.stripes.lock(device)()
	var session sessionDoc
	err := s.changeSession(ctx, device, func(_ context.Context, d *sessionDoc, found bool) (verdict, error) {
		if err := d.refusal(found, generation); err != nil {
			return leave, err
		}
		d.Subscriptions = slices.DeleteFunc(d.Subscriptions, func(sub subscriptionDoc) bool { return sub.Filter == filter })
		session = *d
		return keep, nil
	})
	if err == nil {
		// Then the cursors: a filter that is there without them would start somewhere else.
		err = s.retry(ctx, "delete cursors", func(ctx context.Context) error { return drop(ctx, &session) })
	}
	if err != nil {
		return fmt.Errorf("delete subscription: %w", err)
	}
	return nil
}
