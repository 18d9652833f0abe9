package fault

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/proxy"
	"github.com/parley-chat/parley/internal/fault/server"
)

// world is a server, the cable in front of it, and everybody who uses it.
type world struct {
	*Lab
	server *server.Server
	cable  *proxy.Proxy
	web    *proxy.Proxy // the cable for HTTP, which tunnels go through
	gate   net.Listener // where devices are led into tunnels
	rest   *device.REST

	cancel  context.CancelFunc
	devices sync.WaitGroup

	lock    sync.Mutex // guards what follows where several goroutines add to it
	closers []func()

	household   *household // nil where there is none
	streams     []stream
	writers     []writer
	readers     []reader
	bystanders  []func()                  // stop those who write by themselves
	journals    []func() []checker.Record // of others
	journal     checker.Journal           // of what the row itself sends
	publishers  []*device.Publisher       // the writers among us
	subscribers []*device.Subscriber      // the readers among us
}

// editTime is how long everybody may edit: longer than any clock here jumps.
const editTime = "9000h"

// stream is a conversation that is judged in the end, and who may read it.
type stream struct {
	conversation string
	owner        *device.Session
}

// record is a line of a journal.
type record = checker.Record

// writer is a device that writes.
type writer interface {
	Pending() int
	Acked() int64
	Err() error
	Records() []checker.Record
}

// reader is a device that reads.
type reader interface {
	Follow(conversation string, after int64)
	Shown(conversation string) int
	Repeated() int
	Err() error
	Records() []checker.Record
}

// open prepares a server on a folder of its own, and a cable to it. It starts
// nothing.
func (l *Lab) open(ctx context.Context, config server.Config) (*world, context.Context, error) {
	if l.store != nil {
		l.worlds++
		config.Binary, config.Store = l.FaultBinary, l.store.URI(fmt.Sprintf("world%d", l.worlds))
	}
	if config.Binary == "" {
		config.Binary = l.Binary
	}
	if config.Data == "" {
		folder, err := os.MkdirTemp(l.Folder, "data-")
		if err != nil {
			return nil, nil, fmt.Errorf("make data folder: %w", err)
		}
		config.Data = folder
	}
	if len(config.Env) == 0 {
		config.Env = []string{server.DemoSite}
	}
	config.Env = append([]string{"PARLEY_LOG=warn", "PARLEY_EDIT_VISITOR=" + editTime, "PARLEY_EDIT_STAFF=" + editTime}, config.Env...)
	s, err := server.New(config)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cable, err := proxy.Listen(ctx, s.MQTT())
	if err != nil {
		cancel()
		return nil, nil, err
	}
	w := &world{Lab: l, server: s, cable: cable, rest: device.NewREST(s.URL()), cancel: cancel}
	if err := w.tunnel(ctx); err != nil {
		cancel()
		cable.Close()
		return nil, nil, err
	}
	w.journals = append(w.journals, w.journal.Records)
	return w, ctx, nil
}

// tunnel makes the way for devices that cannot have anything but HTTP.
func (w *world) tunnel(ctx context.Context) (err error) {
	if w.web, err = proxy.Listen(ctx, strings.TrimPrefix(w.server.URL(), "http://")); err != nil {
		return err
	}
	if w.gate, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		w.web.Close()
		return fmt.Errorf("listen for tunnels: %w", err)
	}
	w.devices.Go(func() { device.ServeTunnels(w.gate, "http://"+w.web.Addr()) })
	return nil
}

// within opens a world with a household in it, starts the server, lets act make the
// trouble, and judges what was written down.
func (l *Lab) within(ctx context.Context, config server.Config, act func(context.Context, *world) error) error {
	return l.alone(ctx, config, func(ctx context.Context, w *world) error {
		if err := w.moveIn(ctx); err != nil {
			return err
		}
		return act(ctx, w)
	})
}

// alone is within without a household.
func (l *Lab) alone(ctx context.Context, config server.Config, act func(context.Context, *world) error) error {
	w, ctx, err := l.open(ctx, config)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.server.Start(ctx); err != nil {
		return err
	}
	if err := act(ctx, w); err != nil {
		return fmt.Errorf("%w\n%s", err, w.server.Stderr())
	}
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, w.server.Stderr())
	}
	return nil
}

// close ends everybody.
func (w *world) close() {
	w.cancel()
	for _, end := range w.closers {
		end()
	}
	w.gate.Close()
	w.devices.Wait()
	w.rest.Close()
	w.cable.Close()
	w.web.Close()
	w.server.Kill()
}

// endpoint is the server as devices see it, through the cable.
func (w *world) endpoint() device.Endpoint {
	return device.Endpoint{REST: w.rest, MQTT: w.cable.Addr()}
}

// way is how a device of the kind finds the server that others find at e.
func (w *world) way(kind device.Kind, e device.Endpoint) device.Endpoint {
	if kind == device.Tunnelled {
		e.MQTT = w.gate.Addr().String()
	}
	return e
}

// agent connects an agent's device, which sees what is claimed for it.
func (w *world) agent(ctx context.Context, kind device.Kind) (*device.Session, *device.Subscriber, error) {
	session, err := w.rest.Agent(ctx, server.Site, or(w.email, server.AgentEmail), server.Password)
	if err != nil {
		return nil, nil, err
	}
	d, err := w.subscribe(ctx, kind, session, w.endpoint())
	return session, d, err
}

// subscribe runs a device that reads, until the world ends, and returns when it
// has subscribed.
func (w *world) subscribe(ctx context.Context, kind device.Kind, s *device.Session, e device.Endpoint) (*device.Subscriber, error) {
	d := device.NewSubscriberOf(kind, w.way(kind, e), s, 100)
	w.devices.Go(func() { d.Run(ctx) })
	w.subscribers = append(w.subscribers, d)
	w.hear(d)
	return d, await(ctx, w.patient(setupTimeout), func() string {
		select {
		case <-d.Subscribed():
			return ""
		default:
			return fmt.Sprintf("a device is not subscribed: %v", d.Err())
		}
	})
}

// hear makes a device's journal count.
func (w *world) hear(d *device.Subscriber) {
	if w.household != nil && d.Session.User == w.household.agent.Session.User {
		w.readers = append(w.readers, neighbour{d, w.household.conversation})
		return
	}
	w.readers = append(w.readers, d)
}

// visitor opens a conversation with a new visitor's first message and returns
// the device that goes on writing in it.
func (w *world) visitor(ctx context.Context, kind device.Kind, e device.Endpoint, window int) (*device.Publisher, error) {
	session, err := w.rest.Visitor(ctx, server.SiteKey, "visitor")
	if err != nil {
		return nil, err
	}
	p := device.NewPublisherOf(kind, w.way(kind, e), session, parley.NewID(parley.PrefixConversation), window)
	w.devices.Go(func() { p.Run(ctx) })
	w.publishers = append(w.publishers, p)
	w.writers = append(w.writers, p)
	w.streams = append(w.streams, stream{p.Conversation, session})
	p.Send("hello")
	return p, await(ctx, w.patient(setupTimeout), func() string {
		if p.Pending() > 0 {
			return fmt.Sprintf("the first message is not acknowledged: %v", p.Err())
		}
		return ""
	})
}

// crew is the ordinary load: an agent's devices, one of each kind that reads,
// and visitors, of each kind that writes by turns, whom the agent answers for.
func (w *world) crew(ctx context.Context, readers, writers []device.Kind, window int) error {
	var agent *device.Session
	for _, kind := range readers {
		session, _, err := w.agent(ctx, kind)
		if err != nil {
			return err
		}
		agent = session
	}
	for _, kind := range writers {
		p, err := w.visitor(ctx, kind, w.endpoint(), window)
		if err != nil {
			return err
		}
		for _, d := range w.subscribers {
			d.Follow(p.Conversation, 0)
		}
		if agent == nil {
			continue
		}
		if err := w.claim(ctx, agent, p.Conversation); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) acked() (n int64) {
	for _, p := range w.writers {
		n += p.Acked()
	}
	return n
}

func (w *world) pending() (n int) {
	for _, p := range w.writers {
		n += p.Pending()
	}
	return n
}

// trouble tells what keeps the writers from sending, each thing once.
func (w *world) trouble() string {
	seen := map[string]bool{}
	var all []string
	for _, p := range w.writers {
		if err := p.Err(); err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			all = append(all, err.Error())
		}
	}
	return strings.Join(all, "; ")
}

// load adds messages to each publisher and returns somewhere in the middle of
// them, at a moment that the seed chooses: anywhere in the life of a message,
// and in half of the rounds after a pause in which devices catch up.
func (w *world) load(ctx context.Context, batch int) error {
	target := w.acked() + 1 + w.random.Int64N(int64(max(1, len(w.publishers)*batch*3/4)))
	w.write(batch)
	if err := w.awaitAcked(ctx, target); err != nil {
		return err
	}
	pause := 5 * time.Millisecond
	if w.random.IntN(2) == 0 {
		pause = 150 * time.Millisecond
	}
	return sleep(ctx, w.below(pause))
}

func (w *world) write(batch int) {
	for _, p := range w.publishers {
		for i := range batch {
			p.Send(fmt.Sprintf("message %d: 你好, is my order on its way?", i+1))
		}
	}
}

func (w *world) awaitAcked(ctx context.Context, target int64) error {
	return await(ctx, w.patient(roundTimeout), func() string {
		if acked := w.acked(); acked < target {
			return fmt.Sprintf("%d messages are acknowledged, waiting for %d: %s", acked, target, w.trouble())
		}
		return ""
	})
}

// say sends a draft by REST, notes that in the journal, and returns the position.
func (w *world) say(ctx context.Context, j *checker.Journal, s *device.Session, conversation string, d parley.Draft) (seq int64, err error) {
	r := checker.Record{
		Device: s.ClientID() + " by REST", User: s.User, Event: checker.Sent,
		Conversation: conversation, ID: d.ID, Type: d.Type, Body: d.Body,
	}
	j.Add(r)
	if r.Seq, err = w.rest.Say(ctx, s, conversation, d); err != nil {
		return 0, fmt.Errorf("say something: %w", err)
	}
	r.Event = checker.Acked
	j.Add(r)
	return r.Seq, nil
}
