package broker

import (
	"net/netip"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/pace"
)

// How many publishes are recorded at once and again in publishPeriod, unless
// Options say otherwise: those of one user on all devices, by MQTT and by REST, and
// those of one address.
const (
	PublishLimit        = 1000
	AddressPublishLimit = 20_000
	publishPeriod       = 10 * time.Second
	maxPublishers       = 50_000 // users and addresses that are remembered
)

// publishes limits how fast users and addresses publish.
type publishes struct {
	users, addresses *pace.Limiter
}

func newPublishes(ofUser, ofAddress int) publishes {
	return publishes{
		users:     pace.New(time.Now, ofUser, publishPeriod, maxPublishers),
		addresses: pace.New(time.Now, ofAddress, publishPeriod, maxPublishers),
	}
}

// keepPace waits when the user publishes too fast: nothing is refused, and the
// client feels it by its acknowledgements. false means that the connection has
// ended.
func (in *inbound) keepPace(n int) bool {
	s := in.session
	p := &s.broker.publishes
	wait := max(p.users.Delay(userKey(s.who.Site, s.who.User), n), p.addresses.Delay(addressKey(s.conn.network), n))
	if wait == 0 {
		return true
	}
	s.broker.stats.slowed.Add(int64(n))
	select {
	case <-s.pump.ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// TakePublish counts something that who publishes from address by another way than
// MQTT, and returns 0, or counts nothing and returns how long it takes until it
// may be.
func (b *Broker) TakePublish(who parley.Identity, address netip.Addr) (wait time.Duration) {
	user, from := userKey(who.Site, who.User), addressKey(networkOfIP(address))
	if wait = b.publishes.users.Take(user); wait > 0 {
		return wait
	}
	if wait = b.publishes.addresses.Take(from); wait > 0 {
		b.publishes.users.GiveBack(user)
	}
	return wait
}
