package wire

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Codes that a server answers with while its role changes, and one of a write that is no
// duplicate and is refused all the same.
const (
	NotPrimary       = 10107 // NotWritablePrimary
	SteppedDown      = 11602 // InterruptedDueToReplStateChange
	ShuttingDown     = 91    // ShutdownInProgress
	IllegalOperation = 20
)

const (
	concernTimeout = 64 // WriteConcernTimeout
	madeUp         = "made up by the proxy"
)

// When tells on which side of the write the fault is.
type When int

// Before, the server never sees the command; After, it carries it out, and what goes
// wrong is the answer.
const (
	Before When = iota
	After
)

func (w When) String() string {
	if w == After {
		return "after the write"
	}
	return "before the write"
}

// Command is one that a client sends.
type Command struct {
	Name       string // "insert"; the old form of "hello" counts as "hello"
	Nth        int    // how many of that name there have been since the start, with this one
	Database   string
	Collection string // empty where the command is not about one
	Documents  int    // of an insert, update or delete: how many there are in it
	Body       bson.Raw
}

// Fault is what happens to one command. The zero value is none: it passes.
type Fault struct {
	kind     kind
	when     When
	code     int32
	document int
	delay    time.Duration
}

type kind int

const (
	pass kind = iota
	answerCode
	reset
	cutInside
	hang
	late
	refuse
	concern
	belated
)

// Code answers the command with an error of that code.
func Code(code int32, when When) Fault { return Fault{kind: answerCode, code: code, when: when} }

// Reset resets the connection instead of answering.
func Reset(when When) Fault { return Fault{kind: reset, when: when} }

// CutInside resets the connection in the middle of a message: of the command, which the
// server then drops, or of its answer.
func CutInside(when When) Fault { return Fault{kind: cutInside, when: when} }

// Hang never answers; the connection stays open until the client closes it.
func Hang(when When) Fault { return Fault{kind: hang, when: when} }

// Delay lets d pass on that side of the write.
func Delay(d time.Duration, when When) Fault { return Fault{kind: late, delay: d, when: when} }

// Refuse makes a write error of that code of one document of an insert, update or
// delete, counted from 0; the others are written. After the write, that one is too, only
// the answer denies it. A command with fewer documents passes.
func Refuse(document int, code int32, when When) Fault {
	return Fault{kind: refuse, document: document, code: code, when: when}
}

// ConcernTimeout adds to the answer that the write concern was not reached in time:
// the write is there, and may be rolled back.
func ConcernTimeout() Fault { return Fault{kind: concern, when: After} }

// Belated keeps the command back until the client has given up on it and closed the
// connection, and then lets the server carry it out.
func Belated() Fault { return Fault{kind: belated} }

// String names the fault for the name of a test.
func (f Fault) String() string {
	switch f.kind {
	case answerCode:
		return named(f.code) + " " + f.when.String()
	case reset:
		return "reset " + f.when.String()
	case cutInside:
		return "cut inside a message " + f.when.String()
	case hang:
		return "hang " + f.when.String()
	case late:
		return f.delay.String() + " late " + f.when.String()
	case refuse:
		return "one document refused " + f.when.String()
	case concern:
		return "write concern timeout"
	case belated:
		return "carried out after the client has gone"
	default:
		return "none"
	}
}

func named(code int32) string {
	switch code {
	case NotPrimary:
		return "not primary"
	case SteppedDown:
		return "primary stepped down"
	case ShuttingDown:
		return "shutting down"
	default:
		return "error"
	}
}
