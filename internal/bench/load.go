package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
)

// Load is durable publishers: each connection is a visitor who writes into a
// conversation of its own, at QoS 1, over MQTT 5.
type Load struct {
	Connections int
	Window      int // messages that each connection has under way, at most 64
	Bytes       int // of each payload
	Warmup      time.Duration
	Duration    time.Duration // what is counted, after the warm-up
}

// Figures is what a load measured.
type Figures struct {
	Load
	Messages int           // acknowledged in Took
	Took     time.Duration // of the counted part
	P50, P99 time.Duration // from writing a PUBLISH to reading its PUBACK
	CPU      time.Duration // of the server in Took, user and system; 0 if unknown
}

// Rate is messages per second.
func (f *Figures) Rate() float64 { return float64(f.Messages) / f.Took.Seconds() }

// CPUPerMessage is the server's CPU time for one message, 0 if unknown.
func (f *Figures) CPUPerMessage() time.Duration {
	return f.CPU / time.Duration(max(f.Messages, 1))
}

// Target is the server that is measured.
type Target struct {
	REST    *device.REST
	MQTT    string // host and port
	SiteKey string
	PID     int // of the server on this machine, 0 if it is elsewhere
}

// Publish makes the load and measures it. It fails when a connection breaks or
// a message is refused: there is nothing to measure then.
func (l Load) Publish(ctx context.Context, t Target, seed uint64) (*Figures, error) {
	senders := make([]*sender, l.Connections)
	for i := range senders {
		s, err := l.connect(ctx, t, seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, l.Connections, err)
		}
		defer s.close()
		senders[i] = s
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(senders))
	var running sync.WaitGroup
	for _, s := range senders {
		running.Go(func() {
			if err := s.run(ctx); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	f, err := l.measure(ctx, t.PID, senders)
	cancel()
	running.Wait()
	select {
	case err := <-errs: // the reason why measuring ended early
		return nil, err
	default:
	}
	if err != nil {
		return nil, err
	}
	f.P50, f.P99 = percentiles(senders)
	return f, nil
}

func (l Load) connect(ctx context.Context, t Target, seed uint64) (*sender, error) {
	session, err := t.REST.Visitor(ctx, t.SiteKey, "bench")
	if err != nil {
		return nil, err
	}
	token, err := t.REST.Token(ctx, session)
	if err != nil {
		return nil, err
	}
	conn, _, err := device.Connect(ctx, t.MQTT, device.Options{
		Version: device.MQTT5, ClientID: session.ClientID(), Password: token, CleanStart: true,
	})
	if err != nil {
		return nil, err
	}
	topic := session.Topic(parley.TopicSend, parley.NewID(parley.PrefixConversation))
	return newSender(conn, topic, l.Window, l.Bytes, seed), nil
}

func (l Load) measure(ctx context.Context, pid int, senders []*sender) (*Figures, error) {
	if err := sleep(ctx, l.Warmup); err != nil {
		return nil, err
	}
	cpu, err := cpuTime(pid)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for _, s := range senders {
		s.counting.Store(true)
	}
	err = sleep(ctx, l.Duration)
	for _, s := range senders {
		s.counting.Store(false)
	}
	took := time.Since(began)
	if err != nil {
		return nil, err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return nil, err
	}
	f := &Figures{Load: l, Took: took, CPU: after - cpu}
	for _, s := range senders {
		f.Messages += s.counted()
	}
	return f, nil
}

func percentiles(senders []*sender) (p50, p99 time.Duration) {
	var all []uint32
	for _, s := range senders {
		all = append(all, s.latencies...)
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	at := func(percent int) time.Duration {
		return time.Duration(all[(len(all)-1)*percent/100]) * time.Microsecond
	}
	return at(50), at(99)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
