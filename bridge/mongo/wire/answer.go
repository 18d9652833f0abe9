package wire

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// failure is the answer to a command that failed as a whole. A driver that may repeat
// the command is told so, as servers do.
func failure(code int32, repeatable bool) (bson.Raw, error) {
	d := bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: named(code) + ", " + madeUp}, {Key: "code", Value: code}}
	if name := codeName(code); name != "" {
		d = append(d, bson.E{Key: "codeName", Value: name})
	}
	if repeatable && codeName(code) != "" {
		d = append(d, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
	}
	return bson.Marshal(d)
}

func codeName(code int32) string {
	switch code {
	case NotPrimary:
		return "NotWritablePrimary"
	case SteppedDown:
		return "InterruptedDueToReplStateChange"
	case ShuttingDown:
		return "ShutdownInProgress"
	default:
		return ""
	}
}

// writeError is what a server says about one document.
type writeError struct {
	Index   int32  `bson:"index"`
	Code    int32  `bson:"code"`
	Message string `bson:"errmsg"`
}

// refused is the server's answer with one document refused that was left out of the
// command (the indexes behind it move) or was written with the others.
func refused(answer bson.Raw, f Fault) (bson.Raw, error) {
	d, err := fields(answer)
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	var said struct {
		N      int32        `bson:"n"`
		Errors []writeError `bson:"writeErrors"`
	}
	if err := bson.Unmarshal(answer, &said); err != nil {
		return nil, fmt.Errorf("read the errors of an answer: %w", err)
	}
	var all []writeError
	own := writeError{int32(f.document), f.code, madeUp}
	for _, e := range said.Errors {
		if f.when == Before && e.Index >= own.Index {
			e.Index++
		}
		if e.Index == own.Index { // the server has refused it itself
			return answer, nil
		}
		all = append(all, e)
	}
	if f.when == After {
		d = set(d, "n", max(said.N-1, 0))
	}
	return bson.Marshal(set(d, "writeErrors", ordered(all, own)))
}

func ordered(all []writeError, own writeError) []writeError {
	at := 0
	for at < len(all) && all[at].Index < own.Index {
		at++
	}
	return append(append(all[:at:at], own), all[at:]...)
}

// onlyRefused answers a command whose one document was left out of it.
func onlyRefused(f Fault) (bson.Raw, error) {
	return bson.Marshal(bson.D{
		{Key: "n", Value: int32(0)}, {Key: "nModified", Value: int32(0)},
		{Key: "writeErrors", Value: []writeError{{int32(f.document), f.code, madeUp}}},
		{Key: "ok", Value: 1.0},
	})
}

// unconcerned is the server's answer with the write concern not reached.
func unconcerned(answer bson.Raw) (bson.Raw, error) {
	d, err := fields(answer)
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	return bson.Marshal(set(d, "writeConcernError", bson.D{
		{Key: "code", Value: int32(concernTimeout)},
		{Key: "codeName", Value: "WriteConcernTimeout"},
		{Key: "errmsg", Value: "waiting for replication timed out, " + madeUp},
		{Key: "errInfo", Value: bson.D{{Key: "wtimeout", Value: true}}},
	}))
}

// inSet is an answer to hello as a member of a replica set of one gives it, which is
// its primary unless primary is false.
func inSet(hello bson.D, addr, name string, primary bool) bson.D {
	for _, e := range []bson.E{
		{Key: "setName", Value: name}, {Key: "setVersion", Value: int32(1)}, {Key: "hosts", Value: bson.A{addr}},
		{Key: "me", Value: addr}, {Key: "isWritablePrimary", Value: primary}, {Key: "ismaster", Value: primary}, {Key: "secondary", Value: !primary},
	} {
		hello = set(hello, e.Key, e.Value)
	}
	if primary {
		hello = set(hello, "primary", addr)
	}
	return hello
}
