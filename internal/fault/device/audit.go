package device

import (
	"context"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// Events reads the events of the user of s from the first one to the position
// head, on a connection of its own: no REST call tells them. s is a device that
// does nothing else.
func Events(ctx context.Context, e Endpoint, s *Session, head int64) ([]parley.Entry, error) {
	if head == 0 {
		return nil, nil
	}
	token, err := e.REST.Token(ctx, s)
	if err != nil {
		return nil, err
	}
	c, _, err := Connect(ctx, e.MQTT, Options{Version: MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: true})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer c.Disconnect()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	topic := parley.Topic{Kind: parley.TopicEvents, Site: s.Site, User: s.User}
	err = c.Write(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 1,
		Filters:    packets.Subscriptions{{Filter: topic.String(), Qos: 1}},
		Properties: packets.Properties{User: []packets.UserProperty{{Key: "after", Val: "0"}}},
	})
	var all []parley.Entry
	for err == nil {
		var pk *packets.Packet
		if pk, err = c.Read(); err != nil || pk.FixedHeader.Type != packets.Publish {
			continue
		}
		var entry parley.Entry
		if entry, _, err = parley.DecodeEntry(parley.EventsOf(s.Site, s.User), pk.Payload); err == nil {
			all = append(all, entry)
			err = c.Acknowledge(pk.PacketID)
		}
		if entry.Seq >= head && err == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("read events: %w", err)
}
