package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/proxy"
	"github.com/parley-chat/parley/internal/fault/server"
)

// run is a loop that is being made: the server, the cable in front of it, and
// everybody who uses it.
type run struct {
	Loop
	server  *server.Server
	cable   *proxy.Proxy
	rest    *device.REST
	random  *rand.Rand
	devices sync.WaitGroup

	agent       *device.Session
	publishers  []*device.Publisher
	subscribers []*device.Subscriber
	readyMax    time.Duration
}

// setUp connects an agent's two devices, then opens a conversation for each
// visitor and claims it, so that both devices are owed all of it.
func (r *run) setUp(ctx context.Context) error {
	endpoint := device.Endpoint{REST: r.rest, MQTT: r.cable.Addr()}
	for n := range 2 {
		session, err := r.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password)
		if err != nil {
			return err
		}
		d := device.NewSubscriber(endpoint, session, 100)
		if n == 1 {
			d = device.NewPahoSubscriber(endpoint, session)
		}
		r.agent = session
		r.subscribers = append(r.subscribers, d)
		r.devices.Go(func() { d.Run(ctx) })
	}
	for _, d := range r.subscribers {
		err := await(ctx, setupTimeout, func() string {
			select {
			case <-d.Subscribed():
				return ""
			default:
				return fmt.Sprintf("an agent's device is not subscribed: %v", d.Err())
			}
		})
		if err != nil {
			return err
		}
	}
	for n := range r.Publishers {
		if err := r.addPublisher(ctx, endpoint, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) addPublisher(ctx context.Context, endpoint device.Endpoint, n int) error {
	session, err := r.rest.Visitor(ctx, server.SiteKey, fmt.Sprintf("visitor %d", n+1))
	if err != nil {
		return err
	}
	conversation := parley.NewID(parley.PrefixConversation)
	p := device.NewPublisher(endpoint, session, conversation, r.Window)
	if n%2 == 1 {
		p = device.NewPahoPublisher(endpoint, session, conversation, r.Window)
	}
	r.publishers = append(r.publishers, p)
	r.devices.Go(func() { p.Run(ctx) })
	p.Send("hello")
	err = await(ctx, setupTimeout, func() string {
		if p.Pending() > 0 {
			return fmt.Sprintf("the first message is not acknowledged: %v", p.Err())
		}
		return ""
	})
	if err != nil {
		return err
	}
	for _, d := range r.subscribers {
		d.Follow(conversation, 0)
	}
	if err := r.rest.Claim(ctx, r.agent, conversation); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// drain waits until every message is acknowledged and every device has shown
// what is stored. A device that does not catch up is not an error: the report
// says what it lacks.
func (r *run) drain(ctx context.Context) ([]checker.Stream, error) {
	err := await(ctx, drainTimeout, func() string {
		pending := 0
		for _, p := range r.publishers {
			pending += p.Pending()
		}
		if pending > 0 {
			return fmt.Sprintf("%d messages are not acknowledged: %v", pending, r.trouble())
		}
		return ""
	})
	if err != nil {
		return nil, err
	}
	var streams []checker.Stream
	for _, p := range r.publishers {
		entries, err := r.rest.Entries(ctx, r.agent, p.Conversation)
		if err != nil {
			return nil, err
		}
		streams = append(streams, checker.Stream{Conversation: p.Conversation, Entries: entries})
	}
	err = await(ctx, drainTimeout, func() string {
		for _, d := range r.subscribers {
			for _, s := range streams {
				if shown := d.Shown(s.Conversation); shown < len(s.Entries) {
					return fmt.Sprintf("a device has shown %d of %d entries: %v", shown, len(s.Entries), d.Err())
				}
			}
		}
		return ""
	})
	if err != nil {
		r.Log.Warn("a device did not catch up", "err", err)
	}
	return streams, ctx.Err()
}

func (r *run) acked() (n int64) {
	for _, p := range r.publishers {
		n += p.Acked()
	}
	return n
}

// trouble tells what keeps the publishers from sending, each thing once.
func (r *run) trouble() string {
	seen := map[string]bool{}
	var all []string
	for _, p := range r.publishers {
		if err := p.Err(); err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			all = append(all, err.Error())
		}
	}
	return strings.Join(all, "; ")
}

// await polls until missing returns "", and fails with its last answer.
func await(ctx context.Context, limit time.Duration, missing func() string) error {
	deadline := time.Now().Add(limit)
	for {
		what := missing()
		if what == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v: %s", limit, what)
		}
		if err := sleep(ctx, poll); err != nil {
			return fmt.Errorf("%w: %s", err, what)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (r *run) judge(streams []checker.Stream) *Result {
	var journals []checker.Record
	for _, p := range r.publishers {
		journals = append(journals, p.Journal.Records()...)
	}
	repeated := 0
	for _, d := range r.subscribers {
		journals = append(journals, d.Journal.Records()...)
		repeated += d.Repeated()
	}
	return &Result{
		Rounds: r.Rounds, Seed: r.Seed, ReadyMax: r.readyMax,
		Repeated: repeated, Report: checker.Check(journals, streams),
	}
}
