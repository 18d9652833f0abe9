package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// topics compares the reading of fuzzed filters with a naive reference, and
// then asks a server for what nobody may have.
func topics(ctx context.Context, l *Lab) error {
	granted := 0
	for range l.Rounds {
		who, filter := fuzzedPair(l.random)
		t, err := parley.ParseFilter(filter)
		got := err == nil && who.May(parley.ActionSubscribe, t) == nil
		if want := referenceMay(who, filter); got != want {
			l.result.problem("%s %s of %s may subscribe %q: %v, the reference says %v", who.Role, who.ClientID(), who.Site, filter, got, want)
		}
		if got {
			granted++
		}
	}
	l.result.count("pairs", l.Rounds)
	l.result.count("of these granted", granted)
	return l.assault(ctx, server.Config{}, func(ctx context.Context, a *assault) error {
		all, err := a.disguises(ctx, 16)
		if err != nil {
			return err
		}
		for i, filter := range maliciousFilters(a.victim) {
			for n := range 2 {
				if err := all[(2*i+n)%len(all)].ask(ctx, versionOf(n), []string{filter}); err != nil {
					return err
				}
			}
		}
		return a.attacker.askTooMuch(ctx)
	})
}

// maliciousFilters are all to be refused.
func maliciousFilters(victim *prober) []string {
	v := victim.session
	return []string{
		"#", "+/#", "+", "/", "//", "$SYS/#", "$SYS/broker/clients/total", "p1/#", "p1/+/#", "p1/demo/#", "p1/demo/+/+/messages", "p1/+/c/+/messages",
		"$share/g/" + v.Topic("messages", "+"), "$share/g/#", "$share//#", "p1/other/c/+/messages", "p1/DEMO/c/+/messages", "p1/demo/c/#",
		v.Topic("messages", victim.conversation) + "/", v.Topic("messages", victim.conversation) + "/#",
		"p1/demo//messages", "p1/demo/c//messages", "p1/demo/../demo/c/+/messages", "p1/demo/c/..%2f/messages", "p1/demo/c/+/messages\u202e",
		"p1/demo/c/\u0301/messages", "p1/demo/c/é/messages", "p1/demo/c/e\u0301/messages", "p1/demo/c/\xc0\xaf/messages", "p1/demo/c/\xff/messages",
		"p1/demo/c/a\x00b/messages", "p1/demo/d/" + v.ClientID() + "/errors", "p1/demo/d/+/errors", "p1/demo/u/" + v.User + "/events",
		"p1/demo/presence/+", "p1/demo/visits/+", "p1/demo/c/+/notes", "p1/demo/c/+/send", strings.Repeat("a/", 10_000), strings.Repeat("+/", 10_000) + "#",
		strings.Repeat("x", 65_535), "p1/demo/c/" + strings.Repeat("x", 65) + "/messages", "p2/demo/c/+/messages", " p1/demo/c/+/messages",
	}
}

const subscribeLimit = 100 * time.Millisecond // for the whole way there and back on a busy machine; the server's part is far less

// ask subscribes and expects a refusal of every filter, or the end.
func (a *attacker) ask(ctx context.Context, version byte, filters []string) error {
	c, err := a.connect(ctx, version)
	if err != nil {
		return fmt.Errorf("connect to subscribe: %w", err)
	}
	defer c.Close()
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 1}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: 1})
	}
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(probeLimit)) // fails only on a closed socket
	began := time.Now()
	if err := c.Write(pk); err != nil {
		return nil
	}
	ack, err := c.Read()
	if err != nil {
		a.world.result.count("connections ended for a filter", 1)
		return nil
	}
	a.world.result.measure("SUBACK max", float64(time.Since(began).Milliseconds()), "ms", float64(subscribeLimit.Milliseconds()))
	a.world.result.count("filters refused", len(ack.ReasonCodes))
	for i, reason := range ack.ReasonCodes {
		if reason < 0x80 {
			a.world.result.problem("filter %.80q was granted", filters[i])
		}
	}
	if !silent(c, 2*poll) {
		a.world.result.problem("something was delivered for refused filters, the first %.80q", filters[0])
	}
	return nil
}

// askTooMuch asks for a thousand filters at once, of which a session gets 50.
func (a *attacker) askTooMuch(ctx context.Context) error {
	c, err := a.connect(ctx, device.MQTT5)
	if err != nil {
		return err
	}
	defer c.Close()
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 1}
	for range 1000 {
		filter := a.session.Topic(parley.TopicMessages, parley.NewID(parley.PrefixConversation))
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: filter, Qos: 1})
	}
	if err := c.Write(pk); err != nil {
		return err
	}
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(probeLimit)) // fails only on a closed socket
	ack, err := c.Read()
	granted := 0
	if err == nil {
		for _, reason := range ack.ReasonCodes {
			if reason < 0x80 {
				granted++
			}
		}
	}
	a.world.result.measure("filters granted of 1,000", float64(granted), "", 50)
	return nil
}

var (
	fuzzPrefixes = []string{"p1", "p1", "p1", "p1", "p2", "", "P1", "+", "$share"}
	fuzzSites    = []string{"s", "s", "s", "t", "+", "", "S", "#"}
	fuzzRooms    = []string{"c", "c", "c", "u", "d", "presence", "visits", "x", "", "+"}
	fuzzNames    = []string{"me", "you", "me.dev", "me.dev2", "you.dev", "+", "#", "", "é", "..", "a.b.c", "cnv_1"}
	fuzzKinds    = []string{"messages", "state", "send", "notes", "notes/send", "marks", "signals", "events", "set", "errors", "auth", "", "#", "+", "Messages"}
	fuzzRoles    = []parley.Role{parley.RoleVisitor, parley.RoleBot, parley.RoleAgent, parley.RoleSupervisor, parley.RoleAdmin, parley.RoleOwner}
)

// fuzzedPair makes somebody, and a filter that is nearly right.
func fuzzedPair(r *rand.Rand) (parley.Identity, string) {
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	who := parley.Identity{Site: "s", User: "me", Device: "dev", Role: fuzzRoles[r.IntN(len(fuzzRoles))]}
	levels := []string{"p1", "s", pick(fuzzRooms), pick(fuzzNames), pick(fuzzKinds)}
	if r.IntN(2) == 0 { // half of them are wrong from the start
		levels[0], levels[1] = pick(fuzzPrefixes), pick(fuzzSites)
	}
	if r.IntN(4) == 0 || levels[2] == "presence" || levels[2] == "visits" {
		levels = levels[:1+r.IntN(len(levels)-1)+r.IntN(2)]
	}
	filter := strings.Join(levels, "/")
	if r.IntN(10) == 0 && filter != "" {
		at := r.IntN(len(filter))
		filter = filter[:at] + pick([]string{"/", "+", "#", "\x00", "$", "é", " "}) + filter[at:]
	}
	return who, filter
}
