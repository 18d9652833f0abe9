package bridge

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/parley-chat/parley"
)

// Portable is a store that can be read as a whole, page by page, by whoever copies
// it or compares it with another. Nobody writes meanwhile. Lists are in the order of
// the bytes of names and keys, the same in all stores.
type Portable interface {
	// Epoch identifies the store's numbering.
	Epoch() string

	// Streams returns the streams that have entries, from behind the name after on,
	// at most limit.
	Streams(ctx context.Context, after parley.Stream, limit int) ([]StreamState, error)

	// Read is Store.Read.
	Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error)

	// Rows returns rows of a kind from behind the key after on, at most limit.
	Rows(ctx context.Context, kind RowKind, after string, limit int) ([]Row, error)
}

// Fillable is a store that is being made a copy of another. It is no server's
// store before Finish: opening it as one fails.
type Fillable interface {
	Portable

	// PutEntries stores entries exactly as they are, durable at the latest with
	// Finish. Those of a stream continue it. They are all of one call, or none; the
	// same ones may be put again, after an error of unknown outcome or a crash.
	PutEntries(ctx context.Context, entries []parley.Entry) error

	// PutStreams notes where the histories of streams begin. The entries before that
	// have been put as the cut has left them.
	PutStreams(ctx context.Context, states []StreamState) error

	// PutRows inserts rows, or replaces them.
	PutRows(ctx context.Context, rows []Row) error

	// Finish makes everything durable, and the store one that can be opened.
	Finish(ctx context.Context) error
}

// StreamState is how far a stream goes.
type StreamState struct {
	Stream parley.Stream
	Seq    int64 // of the newest entry
	First  int64 // where history begins, 0 if it was never cut
}

// RowKind names what a store keeps beside its streams. The search index is not
// among them: it is made again from the streams.
type RowKind string

// The kinds, and what Row.Value is the JSON of.
const (
	RowSecret       RowKind = "secret"       // Secret
	RowSite         RowKind = "site"         // parley.Site
	RowAccount      RowKind = "account"      // parley.Account
	RowRevocation   RowKind = "revocation"   // parley.Revocation
	RowSession      RowKind = "session"      // KeptSession
	RowCursor       RowKind = "cursor"       // KeptCursor
	RowRegister     RowKind = "register"     // UserRegister
	RowConversation RowKind = "conversation" // parley.Conversation, and rows of notes
	RowAttachment   RowKind = "attachment"   // parley.Attachment; their bytes are elsewhere
	RowNumber       RowKind = "number"       // Number
)

// RowKinds returns all kinds, in the order in which they are copied.
func RowKinds() []RowKind {
	return []RowKind{RowSecret, RowSite, RowAccount, RowRevocation, RowSession, RowCursor, RowRegister, RowConversation, RowAttachment, RowNumber}
}

// Row is what a store keeps beside its streams.
type Row struct {
	Kind  RowKind
	Key   string // see RowKey
	Value json.RawMessage
}

// RowKey returns the key of a row from what makes it unique, for instance a site
// and an id. Keys are ordered as their parts are.
func RowKey(parts ...string) string { return strings.Join(parts, "\x00") }

// RowKeyParts returns n parts of a key; of the empty one, which comes before all
// others, they are empty.
func RowKeyParts(key string, n int) []string {
	parts := strings.SplitN(key, "\x00", n)
	for len(parts) < n {
		parts = append(parts, "")
	}
	return parts
}

// Secret is one of a store's secrets.
type Secret struct {
	Name  string
	Value []byte
}

// KeptSession is what is kept of a device, but for its cursors.
type KeptSession struct {
	Device        string // Identity.DeviceKey
	Generation    int64
	Expiry        int64 // seconds
	AwaySince     int64 // Unix milliseconds, 0 while connected
	Seen          int64
	Epoch         string // of Seen
	LastID        uint16
	Subscriptions []parley.Subscription // by filter
}

// KeptCursor is a device's cursor in a stream.
type KeptCursor struct {
	Device string
	parley.Cursor
}

// The names of numbers.
const (
	NumberProjected  = "projected"  // the position of the conversation projection
	NumberGeneration = "generation" // the newest generation of sessions
)

// Number is a number that a store keeps.
type Number struct {
	Name  string
	Value int64
}
