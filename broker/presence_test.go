package broker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// standing is what the protocol page promises of a presence topic.
type standing struct {
	User    string `json:"user"`
	Online  bool   `json:"online"`
	Devices int    `json:"devices"`
	Since   int64  `json:"since"`
}

func presenceTopic(site, user string) string {
	return parley.Topic{Kind: parley.TopicPresence, Site: site, User: user}.String()
}

// expectStanding takes deliveries of a user's presence until one says so.
func (c *client) expectStanding(user string, retain bool, match func(standing) bool) {
	c.t.Helper()
	for {
		pk := c.expectOn(presenceTopic(c.who.Site, user))
		var s standing
		if err := json.Unmarshal(pk.Payload, &s); err != nil || s.User != user {
			c.t.Fatalf("presence of %s is %q, %v", user, pk.Payload, err)
		}
		if pk.FixedHeader.Qos != 1 || pk.FixedHeader.Retain != retain {
			c.t.Errorf("presence came at QoS %d, retained %t", pk.FixedHeader.Qos, pk.FixedHeader.Retain)
		}
		if s.Online != (s.Since > 0) || s.Devices > 0 && !s.Online {
			c.t.Errorf("presence %+v", s)
		}
		if match(s) {
			return
		}
	}
}

func online(devices int) func(standing) bool {
	return func(s standing) bool { return s.Online && s.Devices == devices }
}

func offline(s standing) bool { return !s.Online }

// An agent sees who is online when it subscribes, and who comes and goes.
func TestPresence(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t, func(o *broker.Options) { o.PresenceGrace = 50 * time.Millisecond })
		early, late, stranger := w.visitor(), w.visitor(), w.visitorOf(w.other, "")
		w.connect(t, early, version)
		w.connect(t, stranger, version)
		c := w.connect(t, w.agent("lilei"), version)
		c.follow(presenceTopic(w.site.ID, parley.Any))
		c.expectStanding(early.Identity.User, true, online(1))
		c.expectStanding(c.who.User, true, online(1))

		first := w.connect(t, late, version)
		c.expectStanding(late.Identity.User, false, online(1))
		second := w.connect(t, w.again(late), version)
		c.expectStanding(late.Identity.User, false, online(2))
		first.hangUp()
		c.expectStanding(late.Identity.User, false, online(1))
		second.hangUp()
		c.expectStanding(late.Identity.User, false, offline)

		c.unsubscribe(presenceTopic(w.site.ID, parley.Any))
		w.connect(t, late, version)
		w.marker(c)
		c.expectNone("a presence", func(pk packets.Packet) bool {
			return on(pk, presenceTopic(w.site.ID, late.Identity.User)) || on(pk, presenceTopic(w.other.ID, stranger.Identity.User))
		})
	})
}

// Of one user it is told whether or not there is anybody, also after a restart
// that nobody survived.
func TestPresenceOfOneUser(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.PresenceGrace = 50 * time.Millisecond })
	who, agent := w.visitor(), w.agent("lilei")
	topic := presenceTopic(w.site.ID, who.Identity.User)
	c := w.connect(t, agent, 5)
	c.follow(topic)
	c.expectStanding(who.Identity.User, true, offline)
	w.connect(t, who, 5)
	c.expectStanding(who.Identity.User, false, online(1))
	w.restart()
	c = w.connect(t, agent, 5)
	c.follow(topic)
	c.expectStanding(who.Identity.User, true, offline)
}

// Somebody who comes back at once was not away.
func TestPresenceOutlastsAReconnect(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.PresenceGrace = time.Hour })
	who := w.visitor()
	visitor := w.connect(t, who, 5)
	c := w.connect(t, w.agent("lilei"), 5)
	c.follow(presenceTopic(w.site.ID, who.Identity.User))
	c.expectStanding(who.Identity.User, true, online(1))
	for range 3 {
		w.away(visitor)
		w.connect(t, who, 5)
		visitor = w.connect(t, who, 5) // a takeover
	}
	w.marker(c)
	c.expectNone("being away", func(pk packets.Packet) bool {
		var s standing
		return on(pk, presenceTopic(w.site.ID, who.Identity.User)) && json.Unmarshal(pk.Payload, &s) == nil && !s.Online
	})
}

// Presence is made by the server and told to staff.
func TestPresenceIsForStaff(t *testing.T) {
	w := newWorld(t)
	visitor, agent := w.visitor(), w.agent("lilei")
	c := w.connect(t, visitor, 5)
	for _, filter := range []string{presenceTopic(w.site.ID, parley.Any), presenceTopic(w.site.ID, agent.Identity.User), presenceTopic(w.site.ID, visitor.Identity.User)} {
		if codes := c.subscribe(filter); codes[0] != packets.ErrNotAuthorized.Code {
			t.Errorf("a visitor's %s: SUBACK %#x", filter, codes)
		}
	}
	a := w.connect(t, agent, 5)
	if codes := a.subscribe(presenceTopic(w.other.ID, parley.Any)); codes[0] != packets.ErrNotAuthorized.Code {
		t.Errorf("another site's: SUBACK %#x", codes)
	}
	a.follow(a.errorsTopic())
	for _, who := range []parley.Identity{visitor.Identity, agent.Identity} {
		id := a.publish(presenceTopic(w.site.ID, who.User), []byte(`{"online":false}`))
		if ack := a.ackOf(id); ack.ReasonCode < 0x80 {
			t.Errorf("a published presence: PUBACK %#x", ack.ReasonCode)
		}
	}
}
