package ferret

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Elsewhere is the environment variable that names another server to test against,
// as a mongodb:// URI.
const Elsewhere = "PARLEY_TEST_MONGO"

const dropTimeout = 30 * time.Second

// Start returns the URI of an empty database on a server that speaks MongoDB's
// protocol: an embedded one that ends with the test or, where PARLEY_TEST_MONGO
// names a server, a database there that is dropped at the end of the test. The name
// of the database is the URI's path.
func Start(t testing.TB) string {
	t.Helper()
	name := "parley_" + strings.ToLower(rand.Text())
	if there := os.Getenv(Elsewhere); there != "" {
		return borrow(t, there, name)
	}
	s, err := New("127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the database ended with: %v", err)
		}
	})
	return s.URI() + name
}

func borrow(t testing.TB, there, name string) string {
	t.Helper()
	uri, err := url.Parse(there)
	if err != nil {
		t.Fatalf("%s: %v", Elsewhere, err)
	}
	// Who signs in there does so in the database that the URI named.
	if q := uri.Query(); uri.User != nil && q.Get("authSource") == "" {
		q.Set("authSource", authSource(uri))
		uri.RawQuery = q.Encode()
	}
	uri.Path = "/" + name
	t.Cleanup(func() {
		if err := drop(uri.String(), name); err != nil {
			t.Errorf("%s: the database %s stays: %v", Elsewhere, name, err)
		}
	})
	return uri.String()
}

func authSource(uri *url.URL) string {
	if name := strings.Trim(uri.Path, "/"); name != "" {
		return name
	}
	return "admin"
}

func drop(uri, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := client.Database(name).Drop(ctx); err != nil {
		_ = client.Disconnect(ctx) // the first error is the one that matters
		return fmt.Errorf("drop: %w", err)
	}
	return client.Disconnect(ctx)
}
