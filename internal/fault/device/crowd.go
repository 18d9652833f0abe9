package device

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/internal/fault/proxy"
)

// CrowdPart is what a process plays that is many devices at once, each of a
// visitor with a conversation of its own. It is the first line of its standard
// input.
type CrowdPart struct {
	URL     string `json:"url"`
	MQTT    string `json:"mqtt"`
	SiteKey string `json:"siteKey"`
	TLS     bool   `json:"tls"` // to connect by, ended in this process; REST goes without
	Devices int    `json:"devices"`
	Idle    int    `json:"idle"`    // of them only connect: they follow nothing
	Journal string `json:"journal"` // file for everybody's journal, written at the end
}

// CrowdReport is a line of a crowd's standard output: how things stand.
type CrowdReport struct {
	Obeyed    int64 `json:"obeyed"` // orders so far
	Connected int   `json:"connected"`
	Pending   int   `json:"pending"`
	Behind    int   `json:"behind"`    // devices that have not shown all of their own
	Forgotten int64 `json:"forgotten"` // connects so far whose session should have been there and was not
	Attempts  int64 `json:"attempts"`  // to connect, so far
	Secured   int64 `json:"secured"`   // TLS handshakes, so far
}

// What a crowd is told, a line each.
const (
	CrowdSay  = "say"  // everybody who follows something says something more
	CrowdPost = "post" // the same, by REST
	CrowdHold = "hold" // whose connection ends does not come back
	CrowdCome = "come" // until now: all at once
	CrowdCut  = "cut"  // all connections end
)

// PlayCrowd plays a CrowdPart until in ends, reports every 100 ms, and writes
// the journal. Lines on in tell what to do.
func PlayCrowd(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	var part CrowdPart
	if !lines.Scan() {
		return errors.New("play a crowd: no part on standard input")
	}
	if err := json.Unmarshal(lines.Bytes(), &part); err != nil {
		return fmt.Errorf("play a crowd: %w", err)
	}
	c := &crowd{endpoint: Endpoint{REST: NewREST(part.URL), MQTT: part.MQTT, Vigil: crowdVigil}, entering: make(chan struct{}, entering)}
	c.come()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before that
	if part.TLS {
		front, err := proxy.Terminate(ctx, part.MQTT)
		if err != nil {
			return fmt.Errorf("play a crowd: %w", err)
		}
		running.Go(front.Wait)
		c.endpoint.MQTT, c.front, c.entering = front.Addr(), front, make(chan struct{}, securing)
	}
	for n := range part.Devices {
		s, err := c.endpoint.REST.Visitor(ctx, part.SiteKey, "one of many")
		if err != nil {
			return fmt.Errorf("play a crowd: %w", err)
		}
		d := newMember(c, s, n >= part.Idle)
		c.members = append(c.members, d)
		running.Go(func() { d.run(ctx) })
	}
	running.Go(func() { c.report(ctx, json.NewEncoder(out)) })
	for lines.Scan() {
		if err := c.obey(ctx, lines.Text()); err != nil {
			return err
		}
		c.obeyed.Add(1)
	}
	cancel()
	running.Wait()
	return c.write(part.Journal)
}

const (
	crowdVigil = 20 * time.Second // a server that ten thousand come to at once may take a while
	entering   = 10_000           // of a process that connect at the same time
	securing   = 250              // the same with TLS, which this very process pays for
	posting    = 20               // the same by REST
	crowdPing  = 10 * time.Second
)

// crowd is everybody in one process.
type crowd struct {
	endpoint Endpoint
	entering chan struct{}
	attempts atomic.Int64
	gone     atomic.Int64 // sessions that should have been there
	obeyed   atomic.Int64 // orders
	members  []*member
	front    *proxy.Terminator // nil without TLS

	mu   sync.Mutex
	open chan struct{} // closed while devices may connect
}

func (c *crowd) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = make(chan struct{})
}

func (c *crowd) come() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(chan struct{})
	}
	close(c.open)
}

// held returns what is closed when devices may connect.
func (c *crowd) held() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

func (c *crowd) obey(ctx context.Context, order string) error {
	switch order {
	case CrowdSay:
		for _, d := range c.members {
			d.say("here I am")
		}
	case CrowdPost:
		return c.post(ctx)
	case CrowdHold:
		c.hold()
	case CrowdCome:
		c.come()
	case CrowdCut:
		for _, d := range c.members {
			d.cut()
		}
	}
	return nil
}

// post lets everybody say something by REST, and returns when all of it is
// acknowledged.
func (c *crowd) post(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	failed := make(chan error, 1)
	turns := make(chan struct{}, posting)
	for _, d := range c.members {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			if err := d.post(ctx, "are you there?"); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return fmt.Errorf("post: %w", err)
	default:
		return nil
	}
}

// options are how the device with the credentials connects.
func (c *crowd) options(s *Session, token string) Options {
	o := Options{Version: MQTT5, ClientID: s.ClientID(), Password: token, ReceiveMaximum: 10, Vigil: crowdVigil}
	if c.front != nil {
		o.TLS = c.front.Client()
	}
	return o
}

func (c *crowd) report(ctx context.Context, out *json.Encoder) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		r := CrowdReport{Obeyed: c.obeyed.Load(), Attempts: c.attempts.Load(), Forgotten: c.gone.Load()}
		if c.front != nil {
			r.Secured = c.front.Handshakes()
		}
		for _, d := range c.members {
			if d.connected.Load() {
				r.Connected++
			}
			d.mu.Lock()
			r.Pending += len(d.pending)
			if d.said > 0 && len(d.shown) < d.said+1 { // the conversation's opening is an entry, too
				r.Behind++
			}
			d.mu.Unlock()
		}
		if out.Encode(r) != nil {
			return
		}
	}
}

func (c *crowd) write(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write journals: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for _, d := range c.members {
		if _, err := d.journal.WriteTo(w); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
