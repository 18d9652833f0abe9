package broker_test

import (
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// pahoDevice is a device on a client library that knows nothing of Parley.
type pahoDevice struct {
	t      *testing.T
	who    parley.Identity
	client mqtt.Client

	mu      sync.Mutex
	entries []parley.Entry
}

func (w *world) paho(t *testing.T, who parley.Credentials, address string) *pahoDevice {
	t.Helper()
	d := &pahoDevice{t: t, who: who.Identity}
	o := mqtt.NewClientOptions().AddBroker(address).SetProtocolVersion(4).SetClientID(who.Identity.ClientID()).
		SetUsername("device").SetPassword(who.Token).SetCleanSession(false).SetAutoReconnect(false).
		SetConnectTimeout(patience).SetDefaultPublishHandler(d.take)
	d.client = mqtt.NewClient(o)
	d.wait(d.client.Connect())
	t.Cleanup(func() { d.client.Disconnect(250) })
	return d
}

func (d *pahoDevice) take(_ mqtt.Client, m mqtt.Message) {
	e, _, err := parley.DecodeEntry("", m.Payload())
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.t.Errorf("a payload on %s is no entry", m.Topic())
	}
	d.entries = append(d.entries, e)
}

func (d *pahoDevice) wait(token mqtt.Token) {
	d.t.Helper()
	if !token.WaitTimeout(patience) {
		d.t.Fatal("paho did not get its answer")
	}
	must(d.t, token.Error())
}

func (d *pahoDevice) follow() {
	d.t.Helper()
	topic := parley.ConversationTopic(parley.TopicMessages, d.who.Site, parley.Any).String()
	d.wait(d.client.Subscribe(topic, 1, nil))
}

func (d *pahoDevice) post(conversation string, m parley.Draft) mqtt.Token {
	topic := parley.ConversationTopic(parley.TopicSend, d.who.Site, conversation).String()
	return d.client.Publish(topic, 1, false, payloadOf(m))
}

// expectTexts waits until the device holds exactly these messages.
func (d *pahoDevice) expectTexts(ids []string) {
	d.t.Helper()
	await(d.t, func() string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return cmp.Diff(ids, textIDs(d.entries))
	})
}

// Visitor, and two devices of an agent, on an independent client library, over
// TCP and WebSocket.
func TestConversationOnPaho(t *testing.T) {
	w := newWorld(t)
	tcp, ws := "tcp://"+w.tcp, "ws"+w.http.URL[len("http"):]
	visitor, phone, pc := w.paho(t, w.visitor(), ws), w.paho(t, w.agent("lilei"), tcp), w.paho(t, w.agent("lilei"), ws)
	for _, d := range []*pahoDevice{visitor, phone, pc} {
		d.follow()
	}
	id := parley.NewID(parley.PrefixConversation)
	questions := drafts(50)
	var tokens []mqtt.Token
	for _, m := range questions {
		tokens = append(tokens, visitor.post(id, m))
	}
	for _, token := range tokens {
		visitor.wait(token)
	}
	_, err := w.bridge.Claim(t.Context(), phone.who, id)
	must(t, err)
	answers := drafts(50)
	for i, m := range answers {
		from := []*pahoDevice{phone, pc}[i%2]
		from.wait(from.post(id, m))
	}
	all := append(idsOf(questions), idsOf(answers)...)
	if diff := cmp.Diff(all, w.texts(id)); diff != "" {
		t.Errorf("stored (-sent +stored):\n%s", diff)
	}
	for _, d := range []*pahoDevice{visitor, phone, pc} {
		d.expectTexts(all)
	}
}

// A device that was away gets what it missed, also when the server has been
// started again meanwhile.
func TestPahoResumes(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	id := w.conversation(who, 0)
	d := w.paho(t, who, "tcp://"+w.tcp)
	d.follow()
	w.write(who, id, 3)
	d.expectTexts(w.texts(id))
	d.client.Disconnect(250)
	awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
	missed := drafts(100)
	for _, m := range missed {
		w.record(who, id, m)
	}
	w.restart()
	again := w.paho(t, who, "tcp://"+w.tcp)
	again.expectTexts(idsOf(missed))
}
