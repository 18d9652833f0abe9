package broker

import (
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// ending says how a connection is ended by the server: the reason code of the
// DISCONNECT (MQTT 5 only) and the close code of a WebSocket.
type ending struct {
	reason    packets.Code
	closeCode int32
}

// The endings.
var (
	takenOver       = ending{packets.ErrSessionTakenOver, closeTakenOver}
	shuttingDown    = ending{packets.ErrServerShuttingDown, closeGoingAway}
	storeDown       = ending{packets.ErrServerBusy, closeGoingAway}
	tooManyInFlight = ending{packets.ErrReceiveMaximum, closeBadClient}
	tooFast         = ending{packets.ErrMessageRateTooHigh, closeTooMany}
	silent          = ending{packets.ErrKeepAliveTimeout, closeGoingAway}
	tokenExpired    = ending{packets.ErrNotAuthorized, closeUnauthorized}
)

// violation ends a connection whose client broke the protocol.
func violation(reason packets.Code) ending { return ending{reason, closeBadClient} }

// refused is a CONNACK that says no: one reason code for each protocol version.
type refused struct {
	v5, v3    packets.Code
	closeCode int32
}

// The refusals of CONNECT.
var (
	refusedToken      = refused{packets.ErrBadUsernameOrPassword, packets.Code{Code: 4, Reason: "bad user name or password"}, closeUnauthorized}
	refusedIdentifier = refused{packets.ErrClientIdentifierNotValid, packets.Code{Code: 2, Reason: "identifier rejected"}, closeBadClient}
	refusedVersion    = refused{packets.ErrUnsupportedProtocolVersion, packets.Code{Code: 1, Reason: "unacceptable protocol version"}, closeBadClient}
	refusedWill       = refused{packets.ErrImplementationSpecificError, packets.Code{Code: 5, Reason: "wills are not available"}, closeBadClient}
	refusedOrigin     = refused{packets.ErrNotAuthorized, packets.Code{Code: 5, Reason: "origin not allowed"}, closeUnauthorized}
	refusedForNow     = refused{packets.ErrServerUnavailable, packets.Code{Code: 3, Reason: "server unavailable"}, closeGoingAway}
)

// malformed refuses a CONNECT that is none.
func malformed(reason packets.Code) *refused {
	return &refused{reason, packets.Code{Code: 5, Reason: reason.Reason}, closeBadClient}
}

// reasonOf translates a refusal of a publish for MQTT 5. What the store could not
// do never reaches it: that is not acknowledged.
func reasonOf(e *parley.Error) packets.Code {
	switch e.Code {
	case parley.CodeInvalid:
		return packets.ErrPayloadFormatInvalid
	case parley.CodeTooLarge, parley.CodeRateLimited:
		return packets.ErrQuotaExceeded
	case parley.CodeForbidden, parley.CodeNotFound, parley.CodeUnauthenticated:
		return packets.ErrNotAuthorized
	default:
		return packets.ErrImplementationSpecificError
	}
}
