package broker_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

func (c *client) authTopic() string {
	return parley.Topic{Kind: parley.TopicAuth, Site: c.who.Site, User: c.who.User, Device: c.who.Device}.String()
}

// renew publishes a token and returns its packet identifier.
func (c *client) renew(token string) uint16 {
	c.t.Helper()
	payload, err := json.Marshal(map[string]string{"token": token})
	must(c.t, err)
	return c.publish(c.authTopic(), payload)
}

// A connection lasts as long as its newest token, and goes on as if nothing had
// been.
func TestRenewedTokenKeepsTheConnection(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		w.tokenLife = 2 * time.Second // tokens count in whole seconds
		w.restart()
		lasting, err := access.New(t.Context(), w.store, access.Options{})
		must(t, err)
		who := w.visitor()
		id := w.conversation(who, 1)
		c, other := w.connect(t, who, version), w.connect(t, w.again(who), version)
		c.followMessages()
		renewed, err := lasting.Refresh(t.Context(), who.RefreshToken)
		must(t, err)
		w.keepSecret(renewed.Token)
		c.expectAck(c.renew(renewed.Token))
		c.expectAck(c.renew(who.Token)) // overtaken by the newer one: it shortens nothing
		other.expectEnd()               // its token has ended, like the first one's
		d := draft()
		c.expectAck(c.post(id, d))
		c.expectTexts(id, []string{d.ID})
		w.secretsAreNowhere(c)
	})
}

// secretsAreNowhere reads all that is stored for the device.
func (w *world) secretsAreNowhere(c *client) {
	w.t.Helper()
	for _, stream := range []parley.Stream{
		parley.ErrorsOf(c.who.Site, c.who.User, c.who.Device), parley.EventsOf(c.who.Site, c.who.User),
	} {
		entries, err := w.store.Read(w.t.Context(), stream, 0, 100)
		must(w.t, err)
		for _, e := range entries {
			for _, secret := range w.secrets {
				if strings.Contains(string(e.Body), secret) {
					w.t.Errorf("a token is stored in %s", stream)
				}
			}
		}
	}
}

func TestRefusedRenewal(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	c := w.connect(t, who, 5)
	c.follow(c.errorsTopic())
	foreign := w.visitor()
	for token, want := range map[string]parley.Code{
		"garbage":                  parley.CodeUnauthenticated,
		who.RefreshToken:           parley.CodeUnauthenticated,
		foreign.Token:              parley.CodeForbidden,
		w.again(who).Token:         parley.CodeForbidden, // the same user's, of another device
		"":                         parley.CodeInvalid,
		strings.Repeat("x", 1<<14): parley.CodeInvalid,
	} {
		if ack := c.ackOf(c.renew(token)); ack.ReasonCode < 0x80 {
			t.Errorf("PUBACK %#x", ack.ReasonCode)
		}
		if r := c.expectRefusal(); r.Code != want || r.Topic != c.authTopic() {
			t.Errorf("refusal %+v, want %s", r, want)
		}
	}
	good := w.again(who).Token
	for _, payload := range []string{`{"Token":"` + good + `"}`, `{"token":"` + good + `","token":"` + good + `"}`} {
		c.ackOf(c.publish(c.authTopic(), []byte(payload)))
		if r := c.expectRefusal(); r.Code != parley.CodeInvalid {
			t.Errorf("refusal %+v of a key that is not exactly token, or comes twice", r)
		}
	}
	other := parley.Topic{Kind: parley.TopicAuth, Site: c.who.Site, User: foreign.Identity.User, Device: foreign.Identity.Device}
	if ack := c.ackOf(c.publish(other.String(), []byte(`{"token":"x"}`))); ack.ReasonCode != packets.ErrNotAuthorized.Code {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	c.ping() // and is still there
	w.secretsAreNowhere(c)
}

// Who has another role now has other rights, which are decided at login.
func TestRenewalWithAnotherRoleEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	who := w.agent("lilei")
	c := w.connect(t, who, 5)
	account, err := w.store.Account(t.Context(), w.site.ID, who.Identity.User)
	must(t, err)
	account.Role = parley.RoleSupervisor
	must(t, w.store.PutAccount(t.Context(), account))
	renewed, err := w.access.Refresh(t.Context(), who.RefreshToken)
	must(t, err)
	w.keepSecret(renewed.Token)
	c.renew(renewed.Token)
	c.expectDisconnect(packets.ErrNotAuthorized)
}
