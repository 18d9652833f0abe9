package parley

import "time"

// Subscription is a filter that a device holds.
type Subscription struct {
	Filter string
	QoS    byte
}

// Cursor is how far a device has acknowledged a stream: everything up to and
// including Seq of that Epoch.
type Cursor struct {
	Stream Stream
	Epoch  string
	Seq    int64
}

// Session is what the server keeps of a device while it is away: what it
// subscribes to and how far it got. The log is its queue. The cursors are not
// here: there may be very many, and a device that comes back needs those of what
// has changed.
type Session struct {
	Device        string // Identity.DeviceKey
	Generation    int64  // raised by every connect; a save with an older one is refused
	Present       bool   // it existed before this connect
	Subscriptions []Subscription
	Seen          int64  // see CursorSave.Seen
	LastID        uint16 // see SessionEnd.LastID, 0 if the connection before has not ended in order
}

// SessionEnd is the end of a connection, and what is kept of its session.
type SessionEnd struct {
	Device     string
	Generation int64
	Expiry     time.Duration // how long the session is kept, in whole seconds; 0 ends it now
	// LastID is the newest packet identifier of a delivery. The next connection
	// goes on behind it, so that a late acknowledgement hits nothing new.
	LastID uint16
}

// SubscriptionSave is a subscription to be stored, with the positions that it
// starts from.
type SubscriptionSave struct {
	Subscription
	Starts []Cursor // for streams in which the device has no cursor yet
	Reset  bool     // Starts replace the cursors that are there, and Seen falls to 0
	Seen   int64    // see CursorSave.Seen; 0 leaves it as it is
}

// CursorSave is one cursor to be saved for a device. A save whose Generation is
// older than the session's is ignored, so that a connection that was taken over
// cannot move its successor's cursors.
type CursorSave struct {
	Device     string
	Generation int64
	Cursor     Cursor
	// Seen is a server time in Unix milliseconds: in every conversation that has
	// not changed since, the device has acknowledged all that its membership
	// filters deliver. 0 says nothing. It never falls.
	Seen int64
}

// MaxSessionExpiry bounds how long a session can outlive its connection,
// whatever is configured: Sessions of devices that never come back must end.
const MaxSessionExpiry = 400 * 24 * time.Hour
