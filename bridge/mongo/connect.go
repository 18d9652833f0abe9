package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// MinVersion is the oldest MongoDB that a store runs on.
const MinVersion = "4.4"

// selection is how long to look for a primary before saying why there is none. It
// is shorter than an attempt, so that the reason is told instead of "timeout".
const selection = 3 * time.Second

// connecting is how many connections are made at once. The driver's own 2 are for
// applications of which there are many; here one process has all its connections to
// make anew after each outage, when everybody comes back together, and where a
// handshake takes 2 s the sixth to wait would be over its time. With as many as the
// appender asks at once, a whole round of questions waits for one handshake, and the
// pool, of 100, is full after seven.
const connecting = asking

// connect returns a client that has reached the primary.
func connect(ctx context.Context, o Options) (client *driver.Client, database string, err error) {
	uri, err := connstring.ParseAndValidate(o.URI)
	if err != nil && strings.Contains(err.Error(), "escape") { // it quotes a piece of the password
		return nil, "", errors.New("the user name or the password in the address has a character that must be written as % and two digits: : / ? # [ ] @ % are %3A %2F %3F %23 %5B %5D %40 %25")
	}
	if err != nil {
		return nil, "", fmt.Errorf("the address is not one of MongoDB's, which look like mongodb://user:password@host:27017/?replicaSet=name: %w", sanitize(err, o.URI))
	}
	client, err = driver.Connect(clientOptions(o))
	if err != nil {
		return nil, "", fmt.Errorf("the address cannot be used: %w", sanitize(err, o.URI))
	}
	database = o.Database
	if database == "" {
		database = uri.Database
	}
	if database == "" {
		database = DefaultDatabase
	}
	alone, err := greet(ctx, client, database)
	if err != nil {
		return nil, "", errors.Join(diagnose(ctx, err, o.URI, uri), disconnect(client))
	}
	if alone {
		o.Logger.Warn("the database is not a replica set: what is acknowledged is on one machine only")
	}
	return client, database, nil
}

// clientOptions returns what all of the store's commands have in common. What the
// URI says about concerns, preferences and retried writes does not count.
//
// The driver's own retries of writes are off: not every server has them, and they
// end after one. Appends are resolved by their ids, all other writes can be made
// again.
func clientOptions(o Options) *options.ClientOptions {
	journal := true
	opts := options.Client().ApplyURI(o.URI).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRetryWrites(false).
		SetAppName("parley").
		SetServerSelectionTimeout(min(selection, o.Attempt))
	if opts.MaxConnecting == nil {
		opts.SetMaxConnecting(connecting)
	}
	if opts.ConnectTimeout == nil {
		opts.SetConnectTimeout(min(selection, o.Attempt))
	}
	if tell := o.Commands; tell != nil {
		opts.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			tell(e.CommandName, e.Command)
		}})
	}
	return opts
}

// hello is the part of a server's answer that matters.
type hello struct {
	Primary bool   `bson:"isWritablePrimary"`
	SetName string `bson:"setName"`
	Message string `bson:"msg"` // "isdbgrid": a router
}

// greet checks that the server can be talked to, that it is a primary, and that
// the user may read the database. alone is whether it has no replicas.
func greet(ctx context.Context, client *driver.Client, database string) (alone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*selection)
	defer cancel()
	var h hello
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h); err != nil {
		return false, err
	}
	if !h.Primary {
		return false, fmt.Errorf("the server is not the primary of its replica set %q: name all its members and replicaSet=%s in the address, without directConnection", h.SetName, h.SetName)
	}
	// hello needs no rights
	if err := client.Database(database).Collection("meta").FindOne(ctx, bson.D{}).Err(); err != nil && !errors.Is(err, driver.ErrNoDocuments) {
		return false, err
	}
	var build struct {
		Version string `bson:"version"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&build); err != nil {
		return false, err
	}
	if older(build.Version, MinVersion) {
		return false, fmt.Errorf("the server is MongoDB %s, Parley needs %s or newer", build.Version, MinVersion)
	}
	return h.SetName == "" && h.Message != "isdbgrid", nil
}

// older reports whether version is below least; both begin with major.minor.
func older(version, least string) bool {
	var a, b [2]int
	if _, err := fmt.Sscanf(version, "%d.%d", &a[0], &a[1]); err != nil {
		return false // a server of another kind
	}
	_, _ = fmt.Sscanf(least, "%d.%d", &b[0], &b[1]) // a constant
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

// sanitize returns err without what is secret in uri.
func sanitize(err error, uri string) error {
	text := err.Error()
	_, rest, _ := strings.Cut(uri, "://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		text = strings.ReplaceAll(text, rest[:at], user+":***")
		if password != "" {
			text = strings.ReplaceAll(text, password, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
