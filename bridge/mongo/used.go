package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// LastUsed returns when the last sign of a server was left: the newest entry, or
// what Ready writes when somebody asks; the zero time if there is none. A server of
// which nobody wants anything leaves no sign.
func (s *Store) LastUsed(ctx context.Context) (time.Time, error) {
	type mark struct {
		At int64 `bson:"at"`
	}
	at := bson.D{field("at", 1)}
	ready, err := one[mark](ctx, s, s.c.meta, bson.D{field("_id", "ready")}, options.FindOne().SetProjection(at))
	if err != nil {
		return time.Time{}, err
	}
	newest, err := one[mark](ctx, s, s.c.entries, bson.D{}, options.FindOne().SetSort(bson.D{field("at", -1)}).SetProjection(at))
	if err != nil {
		return time.Time{}, err
	}
	var last int64
	for _, m := range []*mark{ready, newest} {
		if m != nil {
			last = max(last, m.At)
		}
	}
	if last == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(last), nil
}

// NewestAt returns the server time of the newest entry, 0 if there is none.
func (s *Store) NewestAt(ctx context.Context) (int64, error) {
	newest, err := one[entryDoc](ctx, s, s.c.entries, bson.D{}, options.FindOne().SetSort(bson.D{field("at", -1)}))
	if err != nil || newest == nil {
		return 0, err
	}
	return newest.At, nil
}

// About returns about how many entries there are. How many streams is not known
// without counting them: 0.
func (s *Store) About(ctx context.Context) (streams, entries int64, err error) {
	err = s.retry(ctx, "count entries", func(ctx context.Context) error {
		entries, err = s.c.entries.EstimatedDocumentCount(ctx)
		return err
	})
	return 0, entries, err
}
