package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/parley-chat/parley"
)

type siteDoc struct {
	ID      string   `bson:"_id"`
	Key     string   `bson:"key"`
	Name    string   `bson:"name"`
	Origins []string `bson:"origins"`
}

func (d *siteDoc) site() parley.Site {
	return parley.Site{ID: d.ID, Key: d.Key, Name: d.Name, Origins: d.Origins}
}

type accountDoc struct {
	ID       string `bson:"_id"` // site and id
	Site     string `bson:"site"`
	Name     string `bson:"id"`
	Email    string `bson:"email"`
	Called   string `bson:"name"`
	Role     string `bson:"role"`
	Password string `bson:"password"` // argon2id in PHC form
}

func (d *accountDoc) account() parley.Account {
	return parley.Account{Site: d.Site, ID: d.Name, Email: d.Email, Name: d.Called, Role: parley.Role(d.Role), PasswordHash: d.Password}
}

// PutSite writes a site, new or changed. A key that another site has is refused
// with CodeConflict.
func (s *Store) PutSite(ctx context.Context, site parley.Site) error {
	if site.ID == "" || site.Key == "" {
		return parley.Errorf(parley.CodeInvalid, "a site needs an id and a key")
	}
	return s.put(ctx, "save site", "another site has this key", s.c.sites, site.ID,
		siteDoc{ID: site.ID, Key: site.Key, Name: site.Name, Origins: site.Origins}, bson.D{field("key", site.Key)})
}

// PutAccount writes an account, new or changed. An email that another account of
// the site has is refused with CodeConflict.
func (s *Store) PutAccount(ctx context.Context, a parley.Account) error {
	if a.Site == "" || a.ID == "" || a.Email == "" {
		return parley.Errorf(parley.CodeInvalid, "an account needs a site, an id and an email")
	}
	d := accountDoc{ID: key(a.Site, a.ID), Site: a.Site, Name: a.ID, Email: a.Email, Called: a.Name, Role: string(a.Role), Password: a.PasswordHash}
	return s.put(ctx, "save account", "another account has this email", s.c.accounts, d.ID, d,
		bson.D{field("site", a.Site), field("email", a.Email)})
}

// put writes a document unless another one has what is unique. The index is the
// judge; asking first makes the usual answer the same on every server.
func (s *Store) put(ctx context.Context, action, conflict string, c *driver.Collection, id string, doc any, unique bson.D) error {
	s.accounts.Lock()
	defer s.accounts.Unlock()
	return s.retry(ctx, action, func(ctx context.Context) error {
		others, err := findIn[bson.D](ctx, c, append(unique, field("_id", bson.D{{Key: "$ne", Value: id}})), options.Find().SetLimit(1))
		if err != nil {
			return err
		}
		if len(others) == 0 {
			_, err = c.ReplaceOne(ctx, bson.D{field("_id", id)}, doc, options.Replace().SetUpsert(true))
		}
		if len(others) > 0 || driver.IsDuplicateKeyError(err) {
			return parley.Errorf(parley.CodeConflict, "%s", conflict)
		}
		s.counters.writes.Add(1)
		return err
	})
}

// SiteByKey returns the site with that public key, or CodeNotFound.
func (s *Store) SiteByKey(ctx context.Context, key string) (parley.Site, error) {
	return s.oneSite(ctx, "key", key)
}

// Site returns the site with that id, or CodeNotFound.
func (s *Store) Site(ctx context.Context, id string) (parley.Site, error) {
	return s.oneSite(ctx, "_id", id)
}

func (s *Store) oneSite(ctx context.Context, name, value string) (parley.Site, error) {
	if value == "" {
		return parley.Site{}, fmt.Errorf("read site: %w", errEmptySite)
	}
	d, err := one[siteDoc](ctx, s, s.c.sites, bson.D{field(name, value)})
	if err != nil {
		return parley.Site{}, err
	}
	if d == nil {
		return parley.Site{}, parley.Errorf(parley.CodeNotFound, "no such site")
	}
	return d.site(), nil
}

// Sites returns all sites, ordered by id.
func (s *Store) Sites(ctx context.Context) ([]parley.Site, error) {
	docs, err := find[siteDoc](ctx, s, s.c.sites, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return nil, err
	}
	var sites []parley.Site
	for i := range docs {
		sites = append(sites, docs[i].site())
	}
	return sites, nil
}

// AccountByEmail returns the site's account with that email, which is compared
// byte by byte, or CodeNotFound.
func (s *Store) AccountByEmail(ctx context.Context, site, email string) (parley.Account, error) {
	return s.account(ctx, site, bson.D{field("site", site), field("email", email)})
}

// Account returns the site's account with that id, or CodeNotFound.
func (s *Store) Account(ctx context.Context, site, id string) (parley.Account, error) {
	return s.account(ctx, site, bson.D{field("_id", key(site, id))})
}

func (s *Store) account(ctx context.Context, site string, filter bson.D) (parley.Account, error) {
	if site == "" {
		return parley.Account{}, fmt.Errorf("read account: %w", errEmptySite)
	}
	d, err := one[accountDoc](ctx, s, s.c.accounts, filter)
	if err != nil {
		return parley.Account{}, err
	}
	if d == nil {
		return parley.Account{}, parley.Errorf(parley.CodeNotFound, "no such account")
	}
	return d.account(), nil
}
