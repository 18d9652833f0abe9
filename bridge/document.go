package bridge

import (
	"cmp"

	"github.com/parley-chat/parley"
)

// Place says which message or note a document is about, and where it stands in
// the search index: newest first by At; of one time by the bytes of Stream, then
// by Seq, both descending. The order never changes, so pages neither repeat nor
// miss anything while others write.
type Place struct {
	At     int64 // server time of the message
	Stream parley.Stream
	Seq    int64 // of the message
}

// Compare is negative when p comes before q.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(q.At, p.At), cmp.Compare(q.Stream, p.Stream), cmp.Compare(q.Seq, p.Seq))
}

// Document is what the search index knows about a message or a note.
type Document struct {
	Place
	Text    int64    // seq of the entry that has its text: itself, or its newest edit
	Visitor string   // whose conversation it is in
	Sender  string   // who wrote it
	Tokens  []string // what it can be found by, see bridge/search; none: it cannot be found
}

// Found is a document as FindDocuments returns it.
type Found struct {
	Place
	Text int64
}

// DocumentQuery selects documents. A field left at its zero value does not
// restrict, except that a query without Site, Kinds, Tokens or Limit is an error.
type DocumentQuery struct {
	Site         string
	Kinds        []parley.TopicKind // of streams: TopicMessages, TopicNotes
	Tokens       []string           // a document has all of them
	Conversation string
	Visitor      string
	Sender       string
	From, To     int64 // server times of the message, both included
	Before       Place // only what comes behind it: that of the last one of the previous page
	Limit        int
}
