package broker

import (
	"net/netip"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/pace"
)

// How often somebody may connect, unless Options say otherwise: one user on all
// devices, and one address, behind which there may be very many.
const (
	ConnectLimit        = 120    // of a user, at once and again in connectPeriod
	AddressConnectLimit = 20_000 // of an address
	connectPeriod       = time.Minute
	// failureWeight is for how many connects of its address one counts that is
	// refused for its token, its client identifier or its origin.
	failureWeight = 20
	// maxConnecting bounds the users and the addresses that are remembered.
	maxConnecting = 50_000
)

// connects limits how often users and addresses connect.
type connects struct {
	users, addresses *pace.Limiter
}

func newConnects(ofUser, ofAddress int) connects {
	return connects{
		users:     pace.New(time.Now, ofUser, connectPeriod, maxConnecting),
		addresses: pace.New(time.Now, ofAddress, connectPeriod, maxConnecting),
	}
}

// failed makes the connect that has just been counted weigh as much as a failure.
func (l connects) failed(c *conn) { l.addresses.Delay(addressKey(c.network), failureWeight-1) }

// addressKey names an address to a limiter.
func addressKey(network netip.Prefix) string { return network.String() }

// mayTry counts a connect of an address. It returns how to refuse it, or nil.
func (b *Broker) mayTry(c *conn) *refused {
	return b.limited(b.connects.addresses.Take(addressKey(c.network)))
}

// mayConnectAgain does the same for a user.
func (b *Broker) mayConnectAgain(who parley.Identity) *refused {
	return b.limited(b.connects.users.Take(userKey(who.Site, who.User)))
}

func (b *Broker) limited(wait time.Duration) *refused {
	if wait == 0 {
		return nil
	}
	b.stats.limitedConnects.Add(1)
	return tooOften(wait)
}
