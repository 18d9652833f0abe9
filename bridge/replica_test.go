package bridge_test

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
)

// postbox is where snapshots of conversations wait for a device, as they do in the
// broker: the newest of each. It tells from when on the device may lack something.
type postbox struct {
	mu       sync.Mutex
	waiting  map[string]parley.Conversation
	position int64
}

func (p *postbox) Changed(c parley.Conversation, _ bool) { p.Marked(c) }
func (p *postbox) Noted(parley.Conversation)             {}
func (p *postbox) Advanced(parley.Stream, int64)         {}

func (p *postbox) Marked(c parley.Conversation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[string]parley.Conversation{}
	}
	if old, ok := p.waiting[c.ID]; ok {
		c = c.Newest(old)
	}
	p.waiting[c.ID] = c
}

func (p *postbox) Followed(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position = max(p.position, at)
}

func (p *postbox) empty() (waiting map[string]parley.Conversation, position int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting, p.waiting = p.waiting, nil
	return waiting, p.position
}

// replica is what one device holds of what was delivered to it. It applies by
// seq, as PROTOCOL.md says, and knows no clock.
type replica struct {
	who    parley.Identity
	post   *postbox
	online bool
	since  int64 // server time up to which it has had every state

	heads     map[parley.Stream]int64
	texts     map[string][]string
	states    map[string]parley.State
	marks     map[string]parley.Mark // its user's, from events
	registers map[string]parley.Register
}

func newReplica(who parley.Identity, device string) *replica {
	who.Device = device
	r := &replica{who: who, post: &postbox{}}
	r.forget()
	return r
}

// GoString keeps the record of a failed run readable.
func (r *replica) GoString() string { return r.who.Device }

// forget is what an app that was installed anew knows.
func (r *replica) forget() {
	r.online, r.since = false, 0
	r.heads, r.texts = map[parley.Stream]int64{}, map[string][]string{}
	r.states, r.marks = map[string]parley.State{}, map[string]parley.Mark{}
	r.registers = map[string]parley.Register{}
}

// connect takes what a SUBSCRIBE is answered with.
func (r *replica) connect(rt *rapid.T, w *world) {
	ctx := w.Context()
	r.post.empty() // from now on it collects again
	r.online = true
	if r.since == 0 { // new: REST tells the registers, and from where on to follow
		all, after, err := w.bridge.Registers(ctx, r.who)
		noError(rt, err)
		for _, one := range all {
			r.registers[one.Key] = one
		}
		r.heads[parley.EventsOf(site, r.who.User)] = after
	}
	seen, err := w.bridge.Watched(ctx, r.who, r.since)
	noError(rt, err)
	lost, err := w.bridge.Unwatched(ctx, r.who, r.since)
	noError(rt, err)
	for _, c := range append(lost, seen...) {
		r.post.Marked(c)
	}
}

// take takes what waits for the device: at most so many entries of each stream.
func (r *replica) take(rt *rapid.T, w *world, limit int) {
	if !r.online {
		return
	}
	waiting, position := r.post.empty()
	for _, id := range slices.Sorted(maps.Keys(waiting)) {
		r.state(rt, waiting[id], w.store.Epoch())
	}
	r.since = max(r.since, position, 1)
	r.read(rt, w, parley.EventsOf(site, r.who.User), limit)
	for id, s := range r.states {
		if r.delivered(s) {
			r.read(rt, w, parley.MessagesOf(site, id), limit)
		}
	}
}

// delivered reports whether a conversation's messages come to this device.
func (r *replica) delivered(s parley.State) bool {
	return !r.who.Role.Staff() || s.Assignee != nil && s.Assignee.ID == r.who.User
}

// state takes a snapshot as the state topic brings it.
func (r *replica) state(rt *rapid.T, c parley.Conversation, epoch string) {
	watched := r.who.TakesPart(c) || r.who.Role.Staff() && c.Status == parley.StatusQueued
	if !watched {
		delete(r.states, c.ID)
		return
	}
	raw, err := json.Marshal(c.State(epoch, r.who))
	noError(rt, err)
	var s parley.State
	noError(rt, json.Unmarshal(raw, &s))
	had, known := r.states[c.ID]
	if known {
		r.mustRise(rt, had, s)
	}
	r.states[c.ID] = s
}

// mustRise fails if anything of a state goes back that must not.
func (r *replica) mustRise(rt *rapid.T, had, now parley.State) {
	for _, m := range had.Marks {
		if n := now.Marks.Of(m.User); n.Delivered < m.Delivered || n.Read < m.Read || n.Count < m.Count {
			rt.Fatalf("on %s a mark went back from %+v to %+v", r.who.Device, m, n)
		}
	}
	if now.Head < had.Head || now.AgentRead < had.AgentRead || now.Count < had.Count {
		rt.Fatalf("on %s a state went back from %+v to %+v", r.who.Device, had, now)
	}
}

// read takes deliveries of a stream behind what the device has.
func (r *replica) read(rt *rapid.T, w *world, stream parley.Stream, limit int) {
	for {
		page, err := w.bridge.Deliveries(w.Context(), stream, r.heads[stream], min(limit, 50))
		noError(rt, err)
		for _, d := range page {
			e, _, err := parley.DecodeEntry(stream, d.Payload)
			noError(rt, err)
			r.entry(rt, e)
		}
		if limit -= len(page); limit <= 0 || len(page) == 0 {
			return
		}
	}
}

// again takes deliveries a second time, as QoS 1 allows.
func (r *replica) again(rt *rapid.T, w *world, back int64) {
	for stream, head := range r.heads {
		page, err := w.bridge.Deliveries(w.Context(), stream, max(0, head-back), int(min(back, head)))
		noError(rt, err)
		for _, d := range page {
			e, _, err := parley.DecodeEntry(stream, d.Payload)
			noError(rt, err)
			r.entry(rt, e)
		}
	}
}

// entry applies one entry.
func (r *replica) entry(rt *rapid.T, e parley.Entry) {
	switch have := r.heads[e.Stream]; {
	case e.Seq <= have:
		return
	case e.Seq > have+1:
		rt.Fatalf("on %s entry %d of %s comes behind %d", r.who.Device, e.Seq, e.Stream, have)
	}
	r.heads[e.Stream] = e.Seq
	switch e.Type {
	case parley.EntryText:
		_, id, _ := e.Stream.Conversation()
		r.texts[id] = append(r.texts[id], e.ID)
	case parley.EntryMarked:
		var m parley.MarkedBody
		noError(rt, json.Unmarshal(e.Body, &m))
		r.marks[m.Conversation] = r.marks[m.Conversation].Merge(parley.Mark{User: r.who.User, Delivered: m.Delivered, Read: m.Read, Count: m.Count})
	case parley.EntrySet:
		var b parley.SetBody
		noError(rt, json.Unmarshal(e.Body, &b))
		if known := r.registers[b.Key]; known.Version != b.BasedOn && known.Version < e.Seq {
			rt.Fatalf("on %s version %d of %s is based on %d, the device knows %d", r.who.Device, e.Seq, b.Key, b.BasedOn, known.Version)
		}
		r.registers[b.Key] = parley.Register{Key: b.Key, Value: b.Value, Version: e.Seq}
	}
}

// views are what the device shows of conversations that are not closed, and of
// closed ones that it still has if all is asked for.
func (r *replica) views() map[string]view {
	all := map[string]view{}
	for id, s := range r.states {
		if s.Status == parley.StatusClosed && r.who.Role.Staff() {
			continue // a list of what is current drops it
		}
		all[id] = r.view(s)
	}
	return all
}

func (r *replica) view(s parley.State) view {
	marks := s.Marks
	own := marks.Of(r.who.User).Merge(r.marks[s.Conversation])
	if own.Delivered > 0 {
		own.User = r.who.User
		marks = marks.With(own)
	}
	v := view{
		Status: s.Status, Head: s.Head, Count: s.Count, AgentRead: s.AgentRead,
		Unread: s.Count - own.Count, Marks: marks,
	}
	if s.Assignee != nil {
		v.Assignee = s.Assignee.ID
	}
	if r.delivered(s) {
		v.Texts = append([]string{}, r.texts[s.Conversation]...)
	}
	return v
}

// filled are the registers that are not empty.
func (r *replica) filled() map[string]parley.Register {
	all := maps.Clone(r.registers)
	maps.DeleteFunc(all, func(_ string, one parley.Register) bool { return string(one.Value) == "null" })
	return all
}

func noError(rt *rapid.T, err error) {
	rt.Helper()
	if err != nil {
		rt.Fatal(err)
	}
}
