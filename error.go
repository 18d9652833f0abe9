package parley

import (
	"errors"
	"fmt"
	"time"
)

// Code says why something was refused. The set is small and closed; each edge
// (HTTP, MQTT, the page) translates it once.
type Code string

// The codes. Retry tells which of them pass by themselves.
const (
	CodeInvalid         Code = "invalid"         // malformed; the same bytes will be refused again
	CodeTooLarge        Code = "too_large"       // above a documented limit
	CodeUnauthenticated Code = "unauthenticated" // no valid token; sign in or renew, then send again
	CodeForbidden       Code = "forbidden"       // known, but not allowed
	CodeNotFound        Code = "not_found"       // no such thing, or not for this identity
	CodeConflict        Code = "conflict"        // the message id was used with other content, or somebody was faster
	CodeStale           Code = "stale"           // somebody was faster; decide again on what is there now
	CodeClosed          Code = "closed"          // the conversation is closed
	CodeRateLimited     Code = "rate_limited"    // too many; slow down and send again
	CodeUnavailable     Code = "unavailable"     // the store cannot write now; send again
	CodeInternal        Code = "internal"        // a fault of ours; details are in the server's log
)

// Retry reports whether sending the same thing again later can succeed without
// a person changing anything.
func (c Code) Retry() bool {
	return c == CodeRateLimited || c == CodeUnavailable || c == CodeInternal
}

// Error is a refusal that a client can act on. Message is written for the
// person who reads it: it says what to do, and never quotes a body or a token.
type Error struct {
	Code    Code
	Message string
	ID      string    // the message id it is about, if there is one
	Current *Register // with CodeStale: what is there now

	RetryAfter time.Duration // how long the refusal lasts, 0 if that is not known
}

// Refusal is what a device was told about a draft that it had published. Err has
// the draft's id; of a refusal that is read back, its code and message besides.
type Refusal struct {
	Topic string
	Err   *Error
}

// Errorf returns an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Seconds returns d in whole seconds, rounded up, as clients are told when to try
// again.
func Seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Limited returns a CodeRateLimited that lasts for wait.
func Limited(wait time.Duration, format string, args ...any) *Error {
	e := Errorf(CodeRateLimited, format, args...)
	e.RetryAfter = wait
	return e
}

// About returns a copy of e that names the message it is about.
func (e *Error) About(id string) *Error {
	c := *e
	c.ID = id
	return &c
}

func (e *Error) Error() string {
	if e.ID != "" {
		return fmt.Sprintf("%s: %s (message %s)", e.Code, e.Message, e.ID)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// ErrorOf returns the Error inside err. An error that is not one of ours
// becomes CodeInternal with a message that tells the outside nothing; the
// caller at the edge logs err itself, once. ErrorOf(nil) is nil.
func ErrorOf(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: "internal error"}
}

// ErrStale is what a conditional append answers when a control entry was
// appended after the position the caller decided on: read again and decide
// again. It never leaves the server.
var ErrStale = errors.New("stream has changed since it was read")

// ErrOutcomeUnknown marks a write whose result could not be learned. The writer
// must find out by reading the entry's id before it goes on with that stream.
// It reaches clients as CodeUnavailable.
var ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
