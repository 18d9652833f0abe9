package parley

// SearchRequest is what somebody looks for. A field left at its zero value does
// not restrict, except Text, which is required.
type SearchRequest struct {
	Text         string    // words, all of which a message has; see bridge/search
	In           TopicKind // TopicMessages or TopicNotes; empty: all that the searcher may read
	Conversation string
	Visitor      string // whose conversation
	Agent        string // who is responsible for the conversation now
	Sender       string
	Type         EntryType // of the message
	From, To     int64     // server times of the message in Unix milliseconds, both included
	Cursor       string    // SearchPage.Next of the previous page
	Limit        int       // 1 to 100; 0 means 20
}

// SearchPage is a part of what was found, newest first.
type SearchPage struct {
	Hits []SearchHit
	Next string // cursor of the next page; empty: this is the last one

	// Partial tells that the time was up before the page was full. Next goes on
	// where it ended.
	Partial bool
	// Indexing tells that the index does not hold everything yet: it is being made,
	// or is behind. What is missing is found later.
	Indexing bool
}

// SearchHit is a message or a note that was found, as it is now. It is what the
// REST API shows of it.
type SearchHit struct {
	Conversation string         `json:"conversation"`
	Visitor      Person         `json:"visitor"`
	In           TopicKind      `json:"in"` // TopicMessages or TopicNotes
	Seq          int64          `json:"seq"`
	Sender       string         `json:"sender"`
	Role         Role           `json:"role"`
	Type         EntryType      `json:"type"`
	At           int64          `json:"at"`
	Edited       bool           `json:"edited"`
	Snippet      []SnippetPiece `json:"snippet"` // in order; together they are a part of the text
}

// SnippetPiece is a part of a snippet. Hit tells that it is what was looked for.
type SnippetPiece struct {
	Text string `json:"text"`
	Hit  bool   `json:"hit,omitempty"`
}
