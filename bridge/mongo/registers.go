package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// registerDoc is a personal register.
type registerDoc struct {
	ID      string `bson:"_id"` // site, user and key
	Site    string `bson:"site"`
	User    string `bson:"user"`
	Key     string `bson:"key"`
	Value   []byte `bson:"value"` // JSON
	Empty   bool   `bson:"empty"`
	Version int64  `bson:"version"`
}

// SaveRegisters writes rows of the projection of personal registers; see
// bridge.Store.
func (s *Store) SaveRegisters(ctx context.Context, rows []bridge.UserRegister) error {
	place := make(map[string]int, len(rows))
	var docs []row
	var versions []int64
	emptied := map[[2]string]bool{}
	for _, r := range rows {
		if r.Site == "" {
			return fmt.Errorf("save registers: %w", errEmptySite)
		}
		d := registerDoc{ID: key(r.Site, r.User, r.Key), Site: r.Site, User: r.User, Key: r.Key, Value: r.Value, Empty: string(r.Value) == "null", Version: r.Version}
		document, err := documentOf(d)
		if err != nil {
			return fmt.Errorf("save registers: %w", err)
		}
		if d.Empty {
			emptied[[2]string{r.Site, r.User}] = true
		}
		one := row{id: d.ID, older: bson.D{field("version", bson.D{{Key: "$lt", Value: d.Version}})}, document: document}
		if at, twice := place[d.ID]; !twice {
			place[d.ID] = len(docs)
			docs, versions = append(docs, one), append(versions, d.Version)
		} else if d.Version > versions[at] {
			docs[at], versions[at] = one, d.Version
		}
	}
	if len(docs) == 0 {
		return nil
	}
	return s.retry(ctx, "save registers", func(ctx context.Context) error {
		if err := s.saveRows(ctx, s.c.registers, docs); err != nil {
			return err
		}
		for user := range emptied {
			if err := s.forgetRegisters(ctx, user[0], user[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetRegisters removes empty registers of a user but the newest ones.
func (s *Store) forgetRegisters(ctx context.Context, site, user string) error {
	empty := bson.D{field("site", site), field("user", user), field("empty", true)}
	docs, err := findIn[registerDoc](ctx, s.c.registers, empty,
		options.Find().SetSort(bson.D{{Key: "version", Value: -1}}).SetSkip(bridge.EmptyRegisters).SetLimit(1))
	if err != nil || len(docs) == 0 {
		return err
	}
	_, err = s.c.registers.DeleteMany(ctx, append(empty, field("version", bson.D{{Key: "$lte", Value: docs[0].Version}})))
	return err
}

// Registers returns a user's registers; see bridge.Store.
func (s *Store) Registers(ctx context.Context, site, user string) ([]parley.Register, error) {
	if site == "" {
		return nil, fmt.Errorf("read registers: %w", errEmptySite)
	}
	docs, err := find[registerDoc](ctx, s, s.c.registers, bson.D{field("site", site), field("user", user)})
	if err != nil {
		return nil, err
	}
	var all []parley.Register
	for _, d := range docs {
		all = append(all, parley.Register{Key: d.Key, Value: d.Value, Version: d.Version})
	}
	return all, nil
}
