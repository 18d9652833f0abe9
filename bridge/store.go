package bridge

import (
	"context"
	"errors"

	"github.com/parley-chat/parley"
)

// Store keeps streams, and the projection of conversations made from them. Its
// contract is tested by bridge/storetest, which every store must pass.
//
// All methods are safe for concurrent use. An error that is not one named here
// is a temporary failure: nothing may be acknowledged, the caller tries again.
type Store interface {
	// Append adds entries to the end of stream, in order, and returns when they
	// are durable: they survive kill -9 and a power cut from then on. It gives
	// each entry its Seq (dense from 1), At and Count, and ignores what the
	// caller put there.
	//
	// It is atomic per entry, not per call. There is one answer for each entry:
	//   - an entry whose (stream, sender, id) exists and has the same Digest is
	//     a duplicate: the answer holds the first one. This is checked first,
	//     and waits until the first one is durable;
	//   - with another Digest it is refused with parley.CodeConflict;
	//   - with expect >= 0, when somebody else's control entry has a seq above
	//     expect, it is refused with parley.ErrStale;
	//   - an edit or a delete of a message that was deleted is refused with
	//     parley.CodeConflict.
	// A refused entry does not stop those behind it. A non-nil error means that
	// the outcome of every entry is open (some may be durable): appending the
	// same entries again is always safe.
	//
	// From the moment a delete is durable its target, if that is a message, and
	// the edits of that message read as parley.Entry.Redact has them, wherever
	// they are read, also as duplicates; with them their digests stay. Nothing else
	// about a target is the store's to check. Soon after, the bodies are gone
	// from the store's files.
	//
	// len(entries) is between 1 and MaxAppend.
	Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error)

	// Read returns the durable entries with seq > after, oldest first, at most
	// limit. An empty answer means that after is the head or beyond.
	Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error)

	// ReadBefore returns the newest entries with seq < before, at most limit,
	// oldest first.
	ReadBefore(ctx context.Context, stream parley.Stream, before int64, limit int) ([]parley.Entry, error)

	// Amendments returns what became of the messages with a seq between from and
	// to: of each that was edited or deleted the newest durable edit or delete with
	// a seq of at most head, in the order of their seq. An edit that is redacted is
	// none. They are found by what they
	// are about: the costs go by the messages, not by the length of the stream.
	Amendments(ctx context.Context, stream parley.Stream, from, to, head int64) ([]parley.Entry, error)

	// Cut makes the history of stream begin at first, or at the newest entry if
	// that comes earlier. It returns, when that is durable, where history begins:
	// higher if it was cut higher before, 0 if it was never cut. A first of 1 or less
	// cuts nothing. It is idempotent.
	//
	// From then on entries before first whose type is Written, and the edits of
	// those messages that are durable when Cut is called, read as parley.Entry.Redact
	// has them, as after a delete: seq, sender, id and digest stay, repeats are
	// answered as before, and soon after the bodies are gone from the store's
	// files. Head tells first, and the row of the conversation, if there is one,
	// has it too, without the text of a message that is gone; SaveConversations does
	// not bring either back. What a store keeps for the search goes with the bodies.
	//
	// An error leaves the outcome open; a part may be cut. Cutting again goes on.
	Cut(ctx context.Context, stream parley.Stream, first int64) (int64, error)

	// Head returns the newest durable position of stream.
	Head(ctx context.Context, stream parley.Stream) (parley.Head, error)

	// Epoch identifies the store's numbering. It never changes while the store
	// is open.
	Epoch() string

	// Ready returns nil when writes are possible right now, or why they are not.
	Ready(ctx context.Context) error

	// Watch makes the store call fn with entries that have just become durable:
	// within a stream in seq order, without holes, each once. Calls come from
	// one goroutine, before the Append that caused them returns; fn must not
	// block and must not call the store. Watch is called once, before the first
	// append.
	Watch(fn func(entries []parley.Entry))

	// Secret returns the store's secret of that name, made of n random bytes at
	// the first call. The same bytes come back for ever.
	Secret(ctx context.Context, name string, n int) ([]byte, error)

	// EntriesSince returns entries of all streams with server time >= at, ordered
	// by time, then in any fixed order of streams, then by seq, that come after the position given by the
	// last entry of the previous page (nil for the first page), at most limit.
	// It serves readers that find work after a restart.
	EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error)

	// SaveConversations writes rows of the conversation projection and the
	// reader position that goes with them. A row whose Head is lower than the
	// one stored is ignored; First is never lowered.
	SaveConversations(ctx context.Context, rows []parley.Conversation, position int64) error

	// SaveRegisters writes rows of the projection of personal registers. A row whose
	// Version is not higher than the one stored is ignored. Of a user's empty
	// registers (value null) it keeps at least the newest EmptyRegisters.
	SaveRegisters(ctx context.Context, rows []UserRegister) error

	// Registers returns a user's registers, in any order.
	Registers(ctx context.Context, site, user string) ([]parley.Register, error)

	// ProjectedTo returns the position of the last SaveConversations, 0 if none.
	ProjectedTo(ctx context.Context) (int64, error)

	// Conversation returns a row of the projection; the zero value, without an
	// error, if there is none.
	Conversation(ctx context.Context, site, id string) (parley.Conversation, error)

	// Conversations returns rows of the projection, most recently updated
	// first, ties by id in descending order.
	Conversations(ctx context.Context, q ConversationQuery) ([]parley.Conversation, error)

	// SaveDocuments writes documents of the search index, and the reader position
	// that goes with them. An entry has at most one document: another takes the
	// place of the one that is there, unless its Text is lower; one without tokens
	// removes it. A document of what was deleted need not be written. At, Visitor
	// and Sender of an entry are always the same. In one call an entry has one
	// document at the most.
	SaveDocuments(ctx context.Context, docs []Document, position int64) error

	// IndexedTo returns the position of the last SaveDocuments, 0 if none.
	IndexedTo(ctx context.Context) (int64, error)

	// FindDocuments returns documents in the order of Place, from the top or
	// behind q.Before. It may find, rarely, one that lacks a token (a store may
	// keep hashes), and one that is gone or changed since: whoever asks looks at
	// the text. When ctx ends, so does the search, with its error.
	FindDocuments(ctx context.Context, q DocumentQuery) ([]Found, error)

	// SaveAttachment writes what is known about an attachment if the one that is there
	// has the version before a.Version; version 1 is written where there is none.
	// Otherwise it fails with parley.ErrStale and changes nothing, unless what is there
	// is exactly a. It is durable when it returns; an error leaves the outcome open, and
	// the same may be saved again.
	SaveAttachment(ctx context.Context, a parley.Attachment) error

	// Attachment returns an attachment; the zero value, without an error, if there is
	// none.
	Attachment(ctx context.Context, site, id string) (parley.Attachment, error)

	// Attachments returns attachments in the order of site and id.
	Attachments(ctx context.Context, q AttachmentQuery) ([]parley.Attachment, error)

	// DeleteAttachment removes an attachment. It is durable when it returns, and
	// idempotent.
	DeleteAttachment(ctx context.Context, site, id string) error
}

// AttachmentQuery selects attachments. A field left at its zero value does not
// restrict, except that without States, or with an Uploader or a Conversation but no
// Site, a query is an error.
type AttachmentQuery struct {
	States       []parley.AttachmentState
	Site         string
	Uploader     string
	Conversation string
	ChangedTo    int64 // only those whose ChangedAt is that time or earlier
	AfterSite    string
	AfterID      string // only what comes behind that one, which is the last of the page before
	Limit        int    // 0 means no limit
}

// Check returns what is wrong with q, or nil.
func (q AttachmentQuery) Check() error {
	if len(q.States) == 0 || q.Site == "" && q.Uploader+q.Conversation != "" {
		return errors.New("a query of attachments needs states, and a site with a user or a conversation")
	}
	return nil
}

// MaxAppend bounds the entries of one Append.
const MaxAppend = 256

// ConversationQuery selects rows of the conversation projection. A field left
// at its zero value does not restrict, except Site, which is required: a query
// without it is an error.
type ConversationQuery struct {
	Site     string
	Visitor  string
	Assignee string
	// AssigneeOrQueued selects what an agent sees: assigned to this agent, or
	// in the queue.
	AssigneeOrQueued string
	Status           parley.Status
	// UpdatedBefore and IDBefore continue after the last row of the previous
	// page: rows that sort behind (UpdatedBefore, IDBefore). Zero starts at the
	// top.
	UpdatedBefore int64
	IDBefore      string
	OpenedTo      int64 // only rows opened at that server time or earlier
	ChangedFrom   int64 // only rows whose ChangedAt is that server time or later
	Limit         int   // 0 means no limit
}
