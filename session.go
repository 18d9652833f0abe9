package parley

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
// subscribes to and how far it got. The log is its queue.
type Session struct {
	Device        string // Identity.DeviceKey
	Generation    int64  // raised by every connect; a save with an older one is refused
	Present       bool   // it existed before this connect
	Subscriptions []Subscription
	Cursors       []Cursor
}

// CursorSave is one cursor to be saved for a device. A save whose Generation is
// older than the session's is ignored, so that a connection that was taken over
// cannot move its successor's cursors.
type CursorSave struct {
	Device     string
	Generation int64
	Cursor     Cursor
}
