// Package ferret is a server that speaks MongoDB's wire protocol, for tests: an
// embedded FerretDB on files of its own. It is a module of its own, so that nothing
// of it comes near the product.
//
// FerretDB 1 is not MongoDB. It answers one thing after another, keeps no journal
// promise of its own (SQLite's is what there is), and lacks much; what Parley uses
// of MongoDB is what both have. Another server takes its place where
// PARLEY_TEST_MONGO names one.
package ferret

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// Capacity is how many connections to its files FerretDB can be expected to have: it has
// 100. A command that needs one more waits forever; an update of 100 documents does.
const Capacity = 80

// AtOnce is how many commands FerretDB can be expected to answer at once: it decodes a whole
// collection for most of them, so that each more takes processors from the others.
const AtOnce = 4

// opening is held while one is opened: each notes in a variable of the package that it
// is embedded.
var opening sync.Mutex

// Server is one embedded FerretDB.
type Server struct {
	db *ferretdb.FerretDB
}

// New opens the files in the folder data, which must exist, and listens on addr, host and
// port; port 0 takes a free one. The caller must call Run.
func New(addr, data string, log *slog.Logger) (*Server, error) {
	folder, err := filepath.Abs(data)
	if err != nil {
		return nil, fmt.Errorf("find the folder of the database: %w", err)
	}
	opening.Lock()
	defer opening.Unlock()
	files := url.URL{Scheme: "file", Path: folder + "/"} // it insists on the slash
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: addr},
		Logger:    log,
		Handler:   "sqlite",
		SQLiteURL: files.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return &Server{db}, nil
}

// Run serves until ctx ends. Connections that clients have not closed by then are
// closed after some seconds.
func (s *Server) Run(ctx context.Context) error { return s.db.Run(ctx) }

// URI is how clients find the server: mongodb://host:port/
func (s *Server) URI() string { return s.db.MongoDBURI() }
