package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-chat/parley"
)

type revocationDoc struct {
	ID     string `bson:"_id"` // site, user and device
	Site   string `bson:"site"`
	User   string `bson:"user"`
	Device string `bson:"device"` // empty: all of the user
	Before int64  `bson:"before"` // Unix milliseconds
}

// Revoke stores a revocation, and returns when it is durable. An earlier one
// with a higher Before stays.
func (s *Store) Revoke(ctx context.Context, r parley.Revocation) error {
	if r.Site == "" || r.User == "" {
		return parley.Errorf(parley.CodeInvalid, "a revocation needs a site and a user")
	}
	id := key(r.Site, r.User, r.Device)
	revocation := row{
		id: id, older: bson.D{field("before", bson.D{{Key: "$lt", Value: r.Before}})},
		document: bson.D{field("_id", id), field("site", r.Site), field("user", r.User), field("device", r.Device), field("before", r.Before)},
	}
	s.accounts.Lock()
	defer s.accounts.Unlock()
	return s.retry(ctx, "save revocation", func(ctx context.Context) error {
		return s.saveRows(ctx, s.c.revocations, []row{revocation})
	})
}

// Revocations returns all revocations.
func (s *Store) Revocations(ctx context.Context) ([]parley.Revocation, error) {
	docs, err := find[revocationDoc](ctx, s, s.c.revocations, bson.D{})
	if err != nil {
		return nil, err
	}
	var all []parley.Revocation
	for _, d := range docs {
		all = append(all, parley.Revocation{Site: d.Site, User: d.User, Device: d.Device, Before: d.Before})
	}
	return all, nil
}
