package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
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
	failure   bool          // it weighs more than other connects; see connects
	wait      time.Duration // after which it may be tried again, 0 if that is not known
}

// serverUnavailable is what MQTT 3.1.1 has for all that passes.
var serverUnavailable = packets.Code{Code: 3, Reason: "server unavailable"}

// The refusals of CONNECT.
var (
	refusedToken      = refused{v5: packets.ErrBadUsernameOrPassword, v3: packets.Code{Code: 4, Reason: "bad user name or password"}, closeCode: closeUnauthorized, failure: true}
	refusedIdentifier = refused{v5: packets.ErrClientIdentifierNotValid, v3: packets.Code{Code: 2, Reason: "identifier rejected"}, closeCode: closeBadClient, failure: true}
	refusedVersion    = refused{v5: packets.ErrUnsupportedProtocolVersion, v3: packets.Code{Code: 1, Reason: "unacceptable protocol version"}, closeCode: closeBadClient}
	refusedWill       = refused{v5: packets.ErrImplementationSpecificError, v3: packets.Code{Code: 5, Reason: "wills are not available"}, closeCode: closeBadClient}
	refusedOrigin     = refused{v5: packets.ErrNotAuthorized, v3: packets.Code{Code: 5, Reason: "origin not allowed"}, closeCode: closeUnauthorized, failure: true}
	refusedForNow     = refused{v5: packets.ErrServerUnavailable, v3: serverUnavailable, closeCode: closeGoingAway}
	refusedCrowded    = refused{v5: packets.ErrQuotaExceeded, v3: serverUnavailable, closeCode: closeTooMany, wait: crowdedWait}
)

// crowdedWait is how long those stay away for whom there was no room.
const crowdedWait = 5 * time.Second

// tooOften refuses who has connected too often and may do so again after wait.
func tooOften(wait time.Duration) *refused {
	return &refused{v5: packets.ErrConnectionRateExceeded, v3: serverUnavailable, closeCode: closeTooMany, wait: wait}
}

// properties tell an MQTT 5 client when to try again.
func (r *refused) properties(cl *mqtt.Client) *packets.Properties {
	most := cl.Properties.Props.MaximumPacketSize
	if r.wait == 0 || most > 0 && most < roomForReasons {
		return nil
	}
	return &packets.Properties{User: []packets.UserProperty{retryAfter(r.wait)}}
}

// roomForReasons is more than a CONNACK with words takes.
const roomForReasons = 256

// malformed refuses a CONNECT that is none.
func malformed(reason packets.Code) *refused {
	return &refused{v5: reason, v3: packets.Code{Code: 5, Reason: reason.Reason}, closeCode: closeBadClient}
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
