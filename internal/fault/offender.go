package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
)

// offender is a device that sends what is refused, one draft at a time, and
// again until it is told so. Each refusal has to be on its errors topic, and no
// such draft may be stored.
type offender struct {
	world        *world
	session      *device.Session
	conversation string
	journal      checker.Journal

	mu      sync.Mutex
	refused map[string]bool // by PUBACK
	told    map[string]bool // on errors
	pending string          // id that no PUBACK has settled
}

func newOffender(w *world, s *device.Session) *offender {
	o := &offender{
		world: w, session: s, conversation: parley.NewID(parley.PrefixConversation),
		refused: map[string]bool{}, told: map[string]bool{},
	}
	w.journals = append(w.journals, o.journal.Records)
	return o
}

func (o *offender) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = o.serve(ctx) // ends with every death of the server
		_ = sleep(ctx, 2*poll)
	}
}

func (o *offender) serve(ctx context.Context) error {
	token, err := o.world.rest.Token(ctx, o.session)
	if err != nil {
		return err
	}
	c, _, err := device.Connect(ctx, o.world.cable.Addr(), device.Options{
		Version: device.MQTT5, ClientID: o.session.ClientID(), Password: token,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	errors := parley.Topic{Kind: parley.TopicErrors, Site: o.session.Site, User: o.session.User, Device: o.session.Device}
	if err := c.Subscribe(1, errors.String()); err != nil {
		return err
	}
	if err := o.offend(c); err != nil {
		return err
	}
	for {
		pk, err := c.Read()
		if err != nil {
			return err
		}
		switch pk.FixedHeader.Type {
		case packets.Publish:
			o.tell(pk.Payload)
			err = c.Acknowledge(pk.PacketID)
		case packets.Puback:
			o.settleOne(pk.ReasonCode)
			err = o.offend(c)
		}
		if err != nil {
			return err
		}
	}
}

// offend sends a message with an empty text: the one that is not settled yet,
// or a new one.
func (o *offender) offend(c *device.Conn) error {
	o.mu.Lock()
	if o.pending == "" {
		o.pending = parley.NewID(parley.PrefixMessage)
	}
	d := parley.NewText(o.pending, "")
	o.mu.Unlock()
	o.journal.Add(checker.Record{
		Device: o.session.ClientID(), User: o.session.User, Event: checker.Sent,
		Conversation: o.conversation, ID: d.ID, Type: d.Type, Body: d.Body,
	})
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	return c.Publish(1, o.session.Topic(parley.TopicSend, o.conversation), payload)
}

func (o *offender) settleOne(reason byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if reason < 0x80 {
		o.world.result.problem("an empty message was accepted, reason %#x", reason)
	}
	o.journal.Add(checker.Record{
		Device: o.session.ClientID(), User: o.session.User, Event: checker.Refused, Conversation: o.conversation, ID: o.pending,
	})
	o.refused[o.pending] = true
	o.pending = ""
}

func (o *offender) tell(payload []byte) {
	var entry struct {
		Body struct {
			ID string `json:"id"`
		} `json:"body"`
	}
	if err := json.Unmarshal(payload, &entry); err != nil {
		o.world.result.problem("what is on errors is no entry: %v", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told[entry.Body.ID] = true
}

// settle waits until every refusal has been told on errors.
func (o *offender) settle(ctx context.Context) error {
	err := await(ctx, 10*time.Second, func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		for id := range o.refused {
			if !o.told[id] {
				return fmt.Sprintf("refusal of %s was acknowledged and is not on errors", id)
			}
		}
		return ""
	})
	if err != nil && ctx.Err() == nil {
		o.world.result.problem("%v", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.world.result.count("refusals", len(o.refused))
	return ctx.Err()
}
