package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// household is the part of the traffic that every row has: three devices of a
// visitor, one of them through an HTTP tunnel, and one of the agent, who write, mark what all visitors of that agent
// write, and set the same registers at the same time.
type household struct {
	world        *world
	conversation string
	agent        *device.Companion
	all          []*device.Companion // the agent's first
	random       *rand.Rand
	sets         map[*device.Companion]int

	lock     sync.Mutex
	followed []string // conversations that the agent's device is owed, guarded by lock
}

const viewsLimit = 10 * time.Second // until everybody was told everybody's marks

// moveIn connects the household and lets it live until the world is settled.
func (w *world) moveIn(ctx context.Context) error {
	visitor, err := w.rest.Visitor(ctx, server.SiteKey, "household")
	if err != nil {
		return err
	}
	second, err := w.rest.SameVisitor(ctx, server.SiteKey, visitor)
	if err != nil {
		return err
	}
	third, err := w.rest.SameVisitor(ctx, server.SiteKey, visitor)
	if err != nil {
		return err
	}
	agent, err := w.rest.Agent(ctx, server.Site, or(w.email, server.AgentEmail), server.Password)
	if err != nil {
		return err
	}
	h := &household{
		world: w, conversation: parley.NewID(parley.PrefixConversation), sets: map[*device.Companion]int{},
		random: rand.New(rand.NewPCG(w.Seed, 1)),
	}
	for _, d := range []struct {
		kind    device.Kind
		session *device.Session
	}{{device.Raw5, agent}, {device.Raw5, visitor}, {device.Raw311, second}, {device.Tunnelled, third}} {
		c := device.NewCompanion(d.kind, w.way(d.kind, w.endpoint()), d.session)
		h.all = append(h.all, c)
		w.devices.Go(func() { c.Run(ctx) })
	}
	h.agent = h.all[0]
	if err := h.settleIn(ctx); err != nil {
		return fmt.Errorf("household: %w", err)
	}
	for _, c := range h.all {
		w.readers = append(w.readers, c)
	}
	w.household = h
	w.streams = append(w.streams, stream{h.conversation, visitor})
	w.standBy(ctx, h.live)
	return nil
}

// residents is how many devices a household has.
func (w *world) residents() int {
	if w.household == nil {
		return 0
	}
	return len(w.household.all)
}

// settleIn waits until everybody has subscribed, opens the conversation and has the
// agent claim it. Nothing has happened before, so everybody is owed everything.
func (h *household) settleIn(ctx context.Context) (err error) {
	err = await(ctx, h.world.patient(setupTimeout), func() string {
		for _, c := range h.all {
			select {
			case <-c.Subscribed():
			default:
				return fmt.Sprintf("a device is not subscribed: %v", c.Err())
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	h.joins(h.conversation)
	for _, c := range h.all {
		c.Follow(c.Session.User, 0)
	}
	for _, c := range h.all[1:] {
		c.Follow(h.conversation, 0)
	}
	h.all[1].Say(h.conversation, "hello, it is us")
	if err := h.drain(ctx); err != nil {
		return err
	}
	if err := h.world.rest.Claim(ctx, h.agent.Session, h.conversation); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// auditors are devices of the household's users that do nothing else than read.
func (h *household) auditors(ctx context.Context) (agent, visitor *device.Session, err error) {
	if agent, err = h.world.rest.Agent(ctx, server.Site, or(h.world.email, server.AgentEmail), server.Password); err != nil {
		return nil, nil, err
	}
	visitor, err = h.world.rest.SameVisitor(ctx, server.SiteKey, h.all[1].Session)
	return agent, visitor, err
}

// joins notes that the agent is to take part in a conversation, and is owed all of it.
func (h *household) joins(conversation string) {
	h.agent.Follow(conversation, 0)
	h.lock.Lock()
	defer h.lock.Unlock()
	h.followed = append(h.followed, conversation)
}

func (h *household) conversations() []string {
	h.lock.Lock()
	defer h.lock.Unlock()
	return slices.Clone(h.followed)
}

// claim makes an agent responsible for a conversation, of which the agent's other
// devices are owed everything, too.
func (w *world) claim(ctx context.Context, agent *device.Session, conversation string) error {
	if w.household != nil {
		w.household.joins(conversation)
	}
	if err := w.rest.Claim(ctx, agent, conversation); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// neighbour is another device of the household's agent. It is owed what comes behind
// the first entry of the household that it has shown: when it subscribed, there was
// some already.
type neighbour struct {
	*device.Subscriber
	conversation string
}

// Owed is what is owed of the household.
func (n neighbour) Owed() []record {
	for _, r := range n.Records() {
		if r.Event == checker.Shown && r.Conversation == n.conversation {
			return []record{{Device: r.Device, User: r.User, Event: checker.Follows, Conversation: n.conversation, Seq: r.Seq - 1}}
		}
	}
	return nil
}

// drain waits until everything is acknowledged or refused.
func (h *household) drain(ctx context.Context) error {
	return await(ctx, h.world.patient(drainTimeout), func() string {
		for _, c := range h.all {
			if n := c.Pending(); n > 0 {
				return fmt.Sprintf("%d letters of a household are not acknowledged: %v", n, c.Err())
			}
		}
		return ""
	})
}

// read reads the events and registers of the household, and adds everybody's marks
// to the streams of conversations that the agent may see.
func (h *household) read(ctx context.Context, streams []checker.Stream) ([]checker.Stream, error) {
	rest := h.world.rest
	agent, visitor, err := h.auditors(ctx)
	if err != nil {
		return nil, err
	}
	for _, conversation := range h.conversations() {
		i := slices.IndexFunc(streams, func(s checker.Stream) bool { return s.Conversation == conversation })
		if i < 0 {
			return nil, fmt.Errorf("nobody reads %s, which the agent has claimed", conversation)
		}
		marks, err := rest.Marks(ctx, agent, conversation)
		if err != nil {
			return nil, err
		}
		streams[i].Marks = &marks
	}
	for _, owner := range []*device.Session{agent, visitor} {
		registers, head, err := rest.Registers(ctx, owner)
		if err != nil {
			return nil, err
		}
		events, err := h.events(ctx, owner, head)
		if err != nil {
			return nil, err
		}
		streams = append(streams, checker.Stream{Conversation: owner.User, Entries: events, Registers: &registers})
	}
	return streams, h.awaitViews(ctx, streams)
}

// events reads the events of a user. A database that stumbles now and then lets the
// server turn connections away, and who reads tries again, like any device.
func (h *household) events(ctx context.Context, owner *device.Session, head int64) (events []parley.Entry, err error) {
	err = await(ctx, h.world.patient(roundTimeout), func() string {
		attempt, cancel := context.WithTimeout(ctx, roundTimeout)
		defer cancel()
		if events, err = device.Events(attempt, h.world.endpoint(), owner, head); err != nil {
			return err.Error()
		}
		return ""
	})
	return events, err
}

// awaitViews waits until every device was told the marks that are left. One that is
// not is no error: the checker says so.
func (h *household) awaitViews(ctx context.Context, streams []checker.Stream) error {
	err := await(ctx, viewsLimit, func() string {
		for _, s := range streams {
			if s.Marks == nil {
				continue
			}
			for _, m := range *s.Marks {
				for _, c := range h.all {
					if view := c.View(s.Conversation); (c == h.agent || m.User == c.Session.User) && len(view) > 0 && view.Of(m.User) != m {
						return "a device was not told the newest marks"
					}
				}
			}
		}
		return ""
	})
	if err != nil {
		h.world.Log.Warn("a household does not agree", "err", err)
	}
	return ctx.Err()
}
