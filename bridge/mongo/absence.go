package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

// Leave says that a connection has ended: from now on its session lives for
// Expiry. With 0 it ends at once, with its subscriptions and cursors. A session
// that has connected again, with a newer generation, is left alone. It is
// idempotent.
func (s *Store) Leave(ctx context.Context, end parley.SessionEnd) error {
	defer s.stripes.lock(end.Device)()
	ended := false
	err := s.changeSession(ctx, end.Device, func(_ context.Context, d *sessionDoc, found bool) (verdict, error) {
		ended = found && d.Generation <= end.Generation && end.Expiry <= 0
		if !found || d.Generation > end.Generation || d.Ends != 0 && !ended {
			return leave, nil
		}
		at := s.serverTime()
		d.Expiry, d.Ends, d.LastID = seconds(end.Expiry), at, int32(end.LastID)
		if d.Ends += 1000 * d.Expiry; ended { // a sweep ends it, should this process die before it is gone
			d.Expiry, d.Ends = 0, 1
		}
		return keep, nil
	})
	if err == nil && ended {
		err = s.end(ctx, end.Device)
	}
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// end deletes a session that has ended, and all that belongs to it. The device is
// locked.
func (s *Store) end(ctx context.Context, device string) error {
	if err := s.forgetCursors(ctx, device, 0); err != nil {
		return err
	}
	return s.changeSession(ctx, device, func(_ context.Context, d *sessionDoc, found bool) (verdict, error) {
		if !found || d.Ends == 0 || d.Ends > s.now().UnixMilli() {
			return leave, nil
		}
		return remove, nil
	})
}

// AllLeft says that no device is connected any more: the process that served
// them died. Their sessions live on from now.
func (s *Store) AllLeft(ctx context.Context) error {
	defer s.stripes.lockAll()()
	at := s.serverTime()
	connected := bson.D{field("ends", 0)}
	for { // one command for each expiry that there is
		d, err := one[sessionDoc](ctx, s, s.c.sessions, connected)
		if err != nil {
			return fmt.Errorf("mark sessions as left: %w", err)
		}
		if d == nil {
			return nil
		}
		err = s.retry(ctx, "mark sessions as left", func(ctx context.Context) error {
			version, err := s.generations.above(ctx, 0)
			if err != nil {
				return err
			}
			_, err = s.c.sessions.UpdateMany(ctx, append(connected, field("expiry", d.Expiry)),
				set(field("ends", at+1000*d.Expiry), field("version", version)))
			return err
		})
		if err != nil {
			return err
		}
	}
}

// Sweep ends at most limit sessions that have expired, and returns how many. What
// counts is the clock, not server time: if the clock was ahead for a while, that
// stands still until it has caught up, and no session may end before its time.
func (s *Store) Sweep(ctx context.Context, limit int) (swept int, err error) {
	expired, err := find[sessionDoc](ctx, s, s.c.sessions,
		bson.D{field("ends", bson.D{{Key: "$gt", Value: 0}, {Key: "$lte", Value: s.now().UnixMilli()}})}, options.Find().SetLimit(int64(limit)))
	if err != nil {
		return 0, fmt.Errorf("sweep sessions: %w", err)
	}
	for i := range expired {
		if err := s.sweepOne(ctx, expired[i].Device); err != nil {
			return swept, fmt.Errorf("sweep sessions: %w", err)
		}
		swept++
	}
	return swept, nil
}

func (s *Store) sweepOne(ctx context.Context, device string) error {
	defer s.stripes.lock(device)()
	d, err := one[sessionDoc](ctx, s, s.c.sessions, bson.D{field("_id", device)})
	if err != nil || d == nil || d.Ends == 0 || d.Ends > s.now().UnixMilli() { // it has come back meanwhile
		return err
	}
	return s.end(ctx, device)
}
