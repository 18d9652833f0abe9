// Package crash names the points at which the fault harness kills the server:
// every step between a PUBLISH that is read and a cursor that is saved. Built
// without the tag "fault", a point is nothing at all.
package crash

// Point is a step at which the process can be made to die.
type Point string

// The points, in the order in which a message passes them.
const (
	PublishRead   Point = "publish-read"   // a PUBLISH has been read, nothing has been done about it
	PublishQueued Point = "publish-queued" // it waits for the recorder
	BatchTaken    Point = "batch-taken"    // the recorder has it
	Decided       Point = "decided"        // allowed, about to be appended

	JournalBegin   Point = "journal-begin"   // seq given in memory, nothing written
	JournalTorn    Point = "journal-torn"    // half of the batch is written
	JournalWritten Point = "journal-written" // all of it is written, not synced
	JournalSynced  Point = "journal-synced"  // durable, nobody knows
	Watched        Point = "watched"         // the follower has been told, the caller not
	Recorded       Point = "recorded"        // the caller knows, the client does not
	AckWritten     Point = "ack-written"     // PUBACK is on its way

	RefusalDecided Point = "refusal-decided" // a publish is refused, not told yet
	RefusalStored  Point = "refusal-stored"  // told on errors, not acknowledged

	FollowBegin   Point = "follow-begin"   // the follower has a commit
	Folded        Point = "folded"         // and has folded it
	ChangedTold   Point = "changed-told"   // observers know the new state
	AdvancedTold  Point = "advanced-told"  // pumps are woken
	ProjectBegin  Point = "project-begin"  // conversation rows are about to be saved
	ProjectSaved  Point = "project-saved"  // they are
	ApplyBegin    Point = "apply-begin"    // journaled entries are about to go into the tables
	ApplyInserted Point = "apply-inserted" // they are inserted, not committed
	ApplySynced   Point = "apply-synced"   // committed, the journal still has them
	JournalReused Point = "journal-reused" // the journal has let go of them
	Checkpoint    Point = "checkpoint"     // the database file is about to be brought up to date

	DeliverRead    Point = "deliver-read"    // the pump has entries for a device, nothing is written
	DeliverWritten Point = "deliver-written" // they are written
	PubackRead     Point = "puback-read"     // the device has acknowledged, the cursor has not moved
	CursorMoved    Point = "cursor-moved"    // it has moved in memory
	CursorsBegin   Point = "cursors-begin"   // cursors are about to be saved
	CursorsSaved   Point = "cursors-saved"   // they are

	SessionOpened     Point = "session-opened"     // the session's row is written, CONNACK is not
	SubscribeDecided  Point = "subscribe-decided"  // a filter is granted, not stored
	SubscriptionSaved Point = "subscription-saved" // stored, SUBACK is not written
	SubackWritten     Point = "suback-written"     // SUBACK is written, deliveries have not begun
)

// The points of a purge, some seconds after a message was deleted or a history cut. They are too
// rare for the harness: the store's own tests go through them.
const (
	Redacted       Point = "redacted"        // the message is overwritten in a transaction
	Cut            Point = "cut"             // a part of a history is overwritten in a transaction
	PurgeBegin     Point = "purge-begin"     // its text is still in the journal and the log
	PurgeTruncated Point = "purge-truncated" // it is nowhere, which nobody has noted
)

// Points returns all points. The harness goes through every one of them.
func Points() []Point {
	return []Point{
		PublishRead, PublishQueued, BatchTaken, Decided,
		JournalBegin, JournalTorn, JournalWritten, JournalSynced, Watched, Recorded, AckWritten,
		RefusalDecided, RefusalStored,
		FollowBegin, Folded, ChangedTold, AdvancedTold, ProjectBegin, ProjectSaved,
		ApplyBegin, ApplyInserted, ApplySynced, JournalReused, Checkpoint,
		DeliverRead, DeliverWritten, PubackRead, CursorMoved, CursorsBegin, CursorsSaved,
		SessionOpened, SubscribeDecided, SubscriptionSaved, SubackWritten,
	}
}

// The points of a new store that is to be filled: the store's own tests go through them.
const (
	FillMarked   Point = "fill-marked"   // the folder is marked, there is no store in it
	FillMigrated Point = "fill-migrated" // there are tables, and no epoch
	FillClaimed  Point = "fill-claimed"  // the tables tell what the store is
)
