package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// diagnose returns err with what the person who runs the server has to do. Where
// no primary was found, it asks the first host alone.
func diagnose(ctx context.Context, err error, uri string, parsed *connstring.ConnString) error {
	explained := explain(err, uri)
	if explained.Error() != err.Error() && !errors.Is(explained, errNoPrimary) {
		return explained
	}
	if ctx.Err() != nil || parsed.ReplicaSet == "" || parsed.Scheme == connstring.SchemeMongoDBSRV {
		return explained
	}
	h, alone := askAlone(ctx, uri)
	switch {
	case alone != nil:
		return explain(alone, uri)
	case h.SetName == "":
		return fmt.Errorf("the server at %s is not in a replica set, the address says %q: leave replicaSet out, or make it a replica set", parsed.Hosts[0], parsed.ReplicaSet)
	case h.SetName != parsed.ReplicaSet:
		return fmt.Errorf("the server at %s is in the replica set %q, the address says %q: correct replicaSet", parsed.Hosts[0], h.SetName, parsed.ReplicaSet)
	}
	return explained
}

// askAlone says hello to the first host of uri, whatever set it belongs to.
func askAlone(ctx context.Context, uri string) (h hello, err error) {
	opts := options.Client().ApplyURI(uri).SetDirect(true).SetServerSelectionTimeout(selection)
	opts.ReplicaSet = nil
	opts.SetHosts(opts.Hosts[:1])
	client, err := driver.Connect(opts)
	if err != nil {
		return h, err
	}
	ctx, cancel := context.WithTimeout(ctx, selection)
	defer cancel()
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h)
	return h, errors.Join(err, disconnect(client))
}

var errNoPrimary = errors.New("no primary of the replica set answers; it may be electing one, or the address names too few of its members")

// secured reports whether the address asks for TLS.
func secured(uri string) bool {
	return strings.Contains(uri, "tls=true") || strings.Contains(uri, "ssl=true") || strings.HasPrefix(uri, "mongodb+srv:")
}

// explain adds to err what is known about such errors, and takes out passwords.
func explain(err error, uri string) error {
	clean := sanitize(err, uri)
	text := clean.Error()
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	var server driver.ServerError
	refused := errors.As(err, &server) && server.HasErrorCode(13)
	switch {
	case has("uthentication failed", "unable to authenticate", "auth error"):
		return fmt.Errorf("MongoDB refuses the user name or the password; check them, and authSource: %w", clean)
	case refused || has("not authorized", "requires authentication"):
		return fmt.Errorf("MongoDB says that the user may not do this; give it the role readWrite on the database: %w", clean)
	case has("first record does not look like a TLS handshake"), secured(uri) && has("EOF", "connection reset"):
		return fmt.Errorf("the address says tls=true, but the server does not answer so; leave it out, or switch TLS on there: %w", clean)
	case has("x509:", "certificate"):
		return fmt.Errorf("the server's certificate is not accepted; name its authority with tlsCAFile: %w", clean)
	case has("reports wire version", "requires at least"):
		return fmt.Errorf("the server is too old, Parley needs MongoDB %s or newer: %w", MinVersion, clean)
	case has("no such host"):
		return fmt.Errorf("the host name in the address is not known: %w", clean)
	case has("connection refused"):
		return fmt.Errorf("nothing listens at the address; is MongoDB running, and is the port right?: %w", clean)
	case has("length of read message too large", "malformed message length", "incorrect length", "unknown opcode"):
		return fmt.Errorf("what listens at the address is no MongoDB; is the port right?: %w", clean)
	case has("EOF", "connection reset", "unexpected message"):
		return fmt.Errorf("the server hangs up; if it wants TLS, add tls=true to the address: %w", clean)
	case has("ReplicaSetNoPrimary"):
		return fmt.Errorf("%w: %w", errNoPrimary, clean)
	case has("server selection"):
		return fmt.Errorf("the server does not answer; check the address and the firewall: %w", clean)
	}
	return clean
}
