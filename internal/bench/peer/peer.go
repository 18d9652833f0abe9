//go:build linux

// Package peer runs the brokers that are compared, each as a child process on
// free ports of the loopback interface, with nothing in it at every start.
package peer

import (
	"context"
	"crypto/rand"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/bench/wire"
)

// Broker is a broker that can be started afresh. One goroutine uses it.
type Broker interface {
	// Name is what tables call it.
	Name() string
	// Version is its own word about itself, empty if it is of this build.
	Version() string
	// Ordered reports whether it promises what it delivers to a device that is
	// there once and in order.
	Ordered() bool
	// Start ends what ran before and starts an empty broker that lets the
	// devices of so many conversations in.
	Start(ctx context.Context, conversations, devices int) ([]Conversation, error)
	// Stop ends the process. Stopping a broker that does not run does nothing.
	Stop()
	// TCP and WebSocket are where it listens, host and port.
	TCP() string
	WebSocket() string
	// PID is the process that is measured.
	PID() int
}

// Conversation is a topic with the devices that may publish and subscribe.
type Conversation struct {
	Send     string // topic to publish on
	Messages string // topic that delivers
	Devices  []wire.Login
}

// openConversations are those of a broker that lets everybody in: one topic
// both ways, as long as ours.
func openConversations(conversations, devices int) []Conversation {
	all := make([]Conversation, conversations)
	for i := range all {
		topic := parley.ConversationTopic(parley.TopicMessages, "demo", parley.NewID(parley.PrefixConversation)).String()
		all[i] = Conversation{Send: topic, Messages: topic}
		user := parley.NewID(parley.PrefixVisitor)
		for range devices {
			id := user + "." + parley.PrefixDevice + rand.Text()
			all[i].Devices = append(all[i].Devices, wire.Login{ClientID: id})
		}
	}
	return all
}
