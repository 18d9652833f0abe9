package wire

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// afterwards is for a server to carry out what nobody waits for any more. Its answer ends
// the link.
const afterwards = 30 * time.Second

// link is one client's connection, and ours to the server for it.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	said           *bufio.Reader // by the client

	end  sync.Once
	done chan struct{} // closed by reset and close
	gone atomic.Bool   // the client is

	mu      sync.Mutex
	pending map[int32]plan // by the id of the command
	places  *places
	taken   int // of the places
}

// plan is what to do with the answer to a command.
type plan struct {
	Fault
	hello      bool
	repeatable bool // by the driver itself
}

func newLink(p *Proxy, client, server net.Conn) *link {
	return &link{proxy: p, client: client, server: server, said: bufio.NewReader(client), done: make(chan struct{}), pending: map[int32]plan{}}
}

// run forwards until one side ends, then ends the other. What a server still works on for
// a client that has gone keeps its place.
func (l *link) run() {
	var back sync.WaitGroup
	back.Go(func() {
		l.pump(l.server, l.answer)
		l.close()
	})
	l.pump(l.said, l.command)
	l.gone.Store(true)
	if l.working() {
		_ = l.server.SetReadDeadline(time.Now().Add(afterwards)) // fails only on a closed socket
	} else {
		l.close()
	}
	back.Wait()
	l.leave()
}

// pump hands over one message after the other until the connection ends or handle says
// that it is over.
func (l *link) pump(from io.Reader, handle func(message) bool) {
	for {
		m, err := read(from)
		if err != nil || !handle(m) {
			return
		}
	}
}

// reset ends both connections at once, with RST: what is under way is lost.
func (l *link) reset() {
	l.end.Do(func() {
		close(l.done)
		abort(l.client)
		abort(l.server)
	})
}

// close ends both connections as their peers would.
func (l *link) close() {
	l.end.Do(func() {
		close(l.done)
		l.client.Close()
		l.server.Close()
	})
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails where it is closed already
	}
	c.Close()
}

// command deals with what a client sends.
func (l *link) command(m message) bool {
	c, err := parse(m)
	if err != nil {
		return false
	}
	cmd, is := describe(c)
	if !is {
		return l.send(l.server, m)
	}
	f := l.proxy.meet(cmd)
	if f.kind == refuse && f.document >= cmd.Documents {
		f = Fault{}
	}
	if f.when == Before && f.kind != pass {
		return l.before(f, m, c, cmd)
	}
	return l.forward(m, plan{f, cmd.Name == "hello", repeatable(c)}, c, cmd)
}

// repeatable tells whether the driver has numbered the command so that the server could
// tell a second one from the first.
func repeatable(c content) bool {
	_, err := c.body.LookupErr("txnNumber")
	return err == nil
}

func (l *link) forward(m message, p plan, c content, cmd Command) bool {
	if !l.enter(cmd) {
		return false
	}
	if c.flags&moreToCome == 0 { // or nobody answers
		l.mu.Lock()
		l.pending[m.id()] = p
		l.mu.Unlock()
	}
	return l.send(l.server, m)
}

// before is a fault of which the server learns nothing.
func (l *link) before(f Fault, m message, c content, cmd Command) bool {
	switch f.kind {
	case answerCode:
		body, err := failure(f.code, repeatable(c))
		return err == nil && l.send(l.client, answerTo(m, body))
	case cutInside:
		_ = l.send(l.server, m[:len(m)/2])
		l.reset()
		return false
	case hang:
		return true
	case late:
		return l.wait(f.delay) && l.forward(m, plan{hello: cmd.Name == "hello"}, c, cmd)
	case refuse:
		return l.leaveOut(f, m, c, cmd)
	case belated:
		_, _ = io.Copy(io.Discard, l.said) // until its end, whatever that is
		l.gone.Store(true)
		return l.forward(m, plan{}, c, cmd) && l.wait(afterwards)
	default:
		l.reset()
		return false
	}
}

// leaveOut sends the command without one of its documents.
func (l *link) leaveOut(f Fault, m message, c content, cmd Command) bool {
	if cmd.Documents == 1 {
		body, err := onlyRefused(f)
		return err == nil && l.send(l.client, answerTo(m, body))
	}
	less, err := c.without(cmd.Name, f.document)
	return err == nil && l.forward(less.msg(m.id(), 0), plan{Fault: f}, c, cmd)
}

// answer deals with what the server sends.
func (l *link) answer(m message) bool {
	l.mu.Lock()
	p, asked := l.pending[m.answers()]
	delete(l.pending, m.answers())
	l.mu.Unlock()
	l.leave()
	if l.gone.Load() {
		return false
	}
	if !asked {
		return l.send(l.client, m)
	}
	if p.hello {
		m = l.introduce(m)
	}
	switch p.kind {
	case pass:
		return l.send(l.client, m)
	case answerCode:
		return l.say(m, func(bson.Raw) (bson.Raw, error) { return failure(p.code, p.repeatable) })
	case refuse:
		return l.say(m, func(body bson.Raw) (bson.Raw, error) { return refused(body, p.Fault) })
	case concern:
		return l.say(m, unconcerned)
	case hang:
		return true
	case late:
		return l.wait(p.delay) && l.send(l.client, m)
	case cutInside:
		_ = l.send(l.client, m[:len(m)/2])
		l.reset()
		return false
	default:
		l.reset()
		return false
	}
}

// say passes an answer on, changed.
func (l *link) say(m message, change func(bson.Raw) (bson.Raw, error)) bool {
	c, err := parse(m)
	if err != nil {
		return false
	}
	body, err := change(c.body)
	return err == nil && l.send(l.client, withBody(m, body))
}

// introduce makes the server a member of the set, if it has been told to be one, and one
// that takes as much at once as it may.
func (l *link) introduce(m message) message {
	c, err := parse(m)
	if err != nil {
		return m
	}
	body, err := fields(c.body)
	if err != nil {
		return m
	}
	if name, addr, primary := l.proxy.membership(); name != "" {
		body = inSet(body, addr, name, primary)
	}
	if p := l.proxy.limit(); p != nil {
		body = set(body, "maxWriteBatchSize", int32(p.batch()))
	}
	raw, err := bson.Marshal(body)
	if err != nil {
		return m
	}
	return withBody(m, raw)
}

// wait lets time pass; false when the connection ended meanwhile.
func (l *link) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

func (l *link) send(to net.Conn, m message) bool {
	_, err := to.Write(m)
	return err == nil
}
