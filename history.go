package parley

// HistoryFrom tells which part of a history a page shows.
type HistoryFrom string

// The parts. A seq below where history begins, or beyond its end, counts as that
// end.
const (
	HistoryNewest HistoryFrom = ""       // the newest entries
	HistoryAfter  HistoryFrom = "after"  // the oldest behind a seq
	HistoryBefore HistoryFrom = "before" // the newest ahead of a seq
	HistoryAround HistoryFrom = "around" // the one with a seq, about half of the others ahead of it; at an end more on the other side
	HistoryAt     HistoryFrom = "at"     // the oldest from a server time on
)

// HistoryQuery asks for a page of a conversation's history.
type HistoryQuery struct {
	Notes bool // of its internal notes, not of its messages
	From  HistoryFrom
	Value int64 // the seq; with HistoryAt a server time in Unix milliseconds
	Limit int   // 1 to 200 entries; 0 means 50
}

// HistoryPage is a page of a stream, oldest first and without holes.
type HistoryPage struct {
	Head    int64 // the newest position that the reader may see, 0 if there is none
	First   int64 // where history begins: what was before it is gone
	Entries []Entry

	// Amendments are what became of the messages in Entries, wherever it is in the
	// stream: of each message that was edited or deleted the newest edit, or the
	// delete, in the order of their seq.
	Amendments []Entry
}

// Written reports whether entries of this type hold what people wrote. Their
// bodies go where history is cut. What else a conversation is folded from stays.
func (t EntryType) Written() bool { return t.Message() || t == EntryEdit }

// Cut returns c after its history was cut: what was written before first is gone.
// Cutting is idempotent and never lowers First.
func (c Conversation) Cut(first int64) Conversation {
	c.First = max(c.First, first)
	if c.LastSeq < c.First {
		c.LastText = ""
	}
	return c
}
