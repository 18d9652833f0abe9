// Package wire stands between clients and a server of MongoDB's protocol and breaks,
// command by command, what it is told to: for tests of what a real replica set does
// to its clients on bad days.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
)

// Count is how much of a command has come from clients.
type Count struct {
	Commands  int
	Documents int // that inserts, updates and deletes held
}

// Proxy forwards what clients send to one server. Its methods are safe for concurrent
// use.
type Proxy struct {
	target string
	addr   string
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while down
	links    map[*link]struct{}
	closed   bool
	decide   func(Command) Fault
	counts   map[string]Count
	set      string
	primary  bool
	places   *places // for what the server works on, nil for any number
}

// Listen starts a proxy on addr, host and port (port 0 takes a free one), in front of the
// server at target. It is one on which nothing goes wrong until it is told to. The
// caller closes it.
func Listen(addr, target string) (*Proxy, error) {
	p := &Proxy{target: target, addr: addr, links: map[*link]struct{}{}, counts: map[string]Count{}, primary: true}
	if err := p.Up(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect, host and port.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// URI is uri with this proxy in the place of its server. Clients stay with it, also
// where the server tells them of others.
func (p *Proxy) URI(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("read the URI of a server: %w", err)
	}
	u.Host = p.Addr()
	p.mu.Lock()
	defer p.mu.Unlock()
	q := u.Query()
	q.Del("replicaSet")
	if p.set == "" {
		q.Set("directConnection", "true")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// InSet makes clients believe, from their next connection on, that the server is the
// one member of a replica set of that name: drivers then retry some writes themselves.
func (p *Proxy) InSet(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = name
}

// Primary tells clients of a set, see InSet, whether it has a primary at present.
// While it has none, every command but those of the driver's own answers that.
func (p *Proxy) Primary(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.primary = is
}

// Break asks decide about every command that comes from now on, one at a time, before
// it goes on; nil lets all pass. Decide must not call the proxy.
func (p *Proxy) Break(decide func(Command) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// Counts tells what has come since the start, by name of the command.
func (p *Proxy) Counts() map[string]Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := make(map[string]Count, len(p.counts))
	for name, c := range p.counts {
		counts[name] = c
	}
	return counts
}

// Limit lets the server work on so much at once, from the clients' next connections on: on
// so many commands, and on so many that it needs at most n connections to its files, one for
// each command and one for each document of it that is updated or deleted. Other commands
// wait, and those whose clients have gone by then are forgotten. FerretDB waits for its own
// connections forever, also in the middle of one command; and it reads all there is to find
// anything, so that of very many at once none is answered in time.
func (p *Proxy) Limit(n, commands int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places = newPlaces(n, commands)
}

func (p *Proxy) limit() *places {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places
}

// Cut resets every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Down resets every connection and refuses new ones. Being down twice is being down
// once.
func (p *Proxy) Down() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Cut()
}

// Up listens again, on the same address. Being up twice is being up once.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen in front of a server: %w", err)
	}
	p.listener, p.addr = listener, listener.Addr().String()
	p.wg.Go(func() { p.accept(listener) })
	return nil
}

// Close resets all connections, stops listening, and waits for the proxy's goroutines.
// Closing twice is fine.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Down()
	p.wg.Wait()
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client was gone before we came
		}
		p.wg.Go(func() { p.serve(listener, client) })
	}
}

// serve ends with the connection. It closes the client's.
func (p *Proxy) serve(listener net.Listener, client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		abort(client)
		return
	}
	l := newLink(p, client, server)
	p.mu.Lock()
	current := p.listener == listener // not down since it was accepted
	if current {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if !current {
		l.reset()
	}
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// meet counts a command and says what happens to it.
func (p *Proxy) meet(cmd Command) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts[cmd.Name]
	c.Commands++
	c.Documents += cmd.Documents
	p.counts[cmd.Name] = c
	cmd.Nth = c.Commands
	if p.set != "" && !p.primary && !ofDriver(cmd.Name) {
		return Code(NotPrimary, Before)
	}
	if p.decide == nil {
		return Fault{}
	}
	return p.decide(cmd)
}

// ofDriver tells commands that drivers send by themselves.
func ofDriver(name string) bool {
	return name == "hello" || name == "ping" || name == "endSessions"
}

// membership is what answers to hello must say.
func (p *Proxy) membership() (set, addr string, primary bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set, p.addr, p.primary
}
