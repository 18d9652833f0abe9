package broker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/parley-chat/parley"
)

// hub knows which sessions exist, and which of them a change concerns.
type hub struct {
	position atomic.Int64 // server time up to which the log has been followed, Unix milliseconds
	scratch  []*session   // of the goroutine that follows the log

	mu      sync.RWMutex
	devices map[string]*session                     // by device key
	users   map[string]map[*session]struct{}        // by site/user
	queues  map[string]map[*session]struct{}        // by site: staff with a c/+/state filter
	streams map[parley.Stream]map[*source]struct{}  // sources that deliver a stream
	barred  map[parley.Stream]map[*session]struct{} // exact subscriptions that wait for the right to read
	watches map[parley.Stream]map[*session]struct{} // exact subscriptions of a conversation, by its messages stream

	everybody map[string]map[*session]struct{} // by site: presence/+ filters
	somebody  map[string]map[*session]struct{} // by site/user: exact subscriptions of a presence

	listeners map[parley.Stream]map[*session]struct{} // exact subscriptions of signals, by the conversation's messages stream
}

func newHub() *hub {
	return &hub{
		devices: map[string]*session{}, users: map[string]map[*session]struct{}{},
		queues: map[string]map[*session]struct{}{}, streams: map[parley.Stream]map[*source]struct{}{},
		barred: map[parley.Stream]map[*session]struct{}{}, watches: map[parley.Stream]map[*session]struct{}{},
		everybody: map[string]map[*session]struct{}{}, somebody: map[string]map[*session]struct{}{},
		listeners: map[parley.Stream]map[*session]struct{}{},
	}
}

func userKey(site, user string) string { return site + "/" + user }

// enter makes s the connection of its device and returns the one it replaces.
func (h *hub) enter(s *session) (older *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	older = h.devices[s.device]
	h.devices[s.device] = s
	put(h.users, userKey(s.who.Site, s.who.User), s)
	return older
}

// connection returns the connection of a device, nil if there is none.
func (h *hub) connection(device string) *session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.devices[device]
}

// here reports whether s is still a connection: what is registered after leave
// would stay for ever. The lock is held.
func (h *hub) here(s *session) bool {
	_, ok := h.users[userKey(s.who.Site, s.who.User)][s]
	return ok
}

// leave removes s from everything.
func (h *hub) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.devices[s.device] == s {
		delete(h.devices, s.device)
	}
	remove(h.users, userKey(s.who.Site, s.who.User), s)
	remove(h.queues, s.who.Site, s)
	streams, watched := s.pump.all()
	for _, stream := range watched {
		remove(h.watches, stream, s)
	}
	remove(h.everybody, s.who.Site, s)
	for _, user := range s.pump.watchedUsers() {
		remove(h.somebody, user, s)
	}
	for _, conversation := range s.pump.listensTo() {
		remove(h.listeners, parley.MessagesOf(s.who.Site, conversation), s)
	}
	for _, stream := range s.pump.barredStreams() {
		remove(h.barred, stream, s)
	}
	for _, src := range streams {
		remove(h.streams, src.stream, src)
	}
}

func (h *hub) each(fn func(*session)) {
	h.mu.RLock()
	sessions := make([]*session, 0, len(h.devices))
	for _, s := range h.devices {
		sessions = append(sessions, s)
	}
	h.mu.RUnlock()
	var all sync.WaitGroup
	for _, s := range sessions {
		all.Go(func() { fn(s) })
	}
	all.Wait()
}

func (h *hub) watchQueue(s *session) { enroll(h, h.queues, s.who.Site, s) }

func (h *hub) unwatchQueue(s *session) { expel(h, h.queues, s.who.Site, s) }

// watch tells s about every change of one conversation.
func (h *hub) watch(stream parley.Stream, s *session) { enroll(h, h.watches, stream, s) }

func (h *hub) unwatch(stream parley.Stream, s *session) { expel(h, h.watches, stream, s) }

// bar tells s about decisions in a conversation that it may not read now but is
// subscribed to, until unbar.
func (h *hub) bar(stream parley.Stream, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.here(s) && s.pump.isBarred(stream) {
		put(h.barred, stream, s)
	}
}

func (h *hub) unbar(stream parley.Stream, s *session) { expel(h, h.barred, stream, s) }

// listen tells s the signals of one conversation.
func (h *hub) listen(stream parley.Stream, s *session) { enroll(h, h.listeners, stream, s) }

func (h *hub) unlisten(stream parley.Stream, s *session) { expel(h, h.listeners, stream, s) }

// hearing returns the sessions that may be listening to signals in c: those of
// its visitor and agent, and those subscribed to it.
func (h *hub) hearing(c parley.Conversation) []*session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := map[*session]struct{}{}
	maps.Copy(all, h.users[userKey(c.Site, c.Visitor)])
	maps.Copy(all, h.users[userKey(c.Site, c.Assignee)])
	maps.Copy(all, h.listeners[c.Stream()])
	return slices.Collect(maps.Keys(all))
}

// deliver wakes src when its stream advances, until undeliver.
func (h *hub) deliver(src *source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.here(src.pump.session) && !src.pump.gone(src) {
		put(h.streams, src.stream, src)
	}
}

func (h *hub) undeliver(src *source) { expel(h, h.streams, src.stream, src) }

// watchUser tells s who comes and goes; an empty user means everybody of its
// site.
func (h *hub) watchUser(s *session, user string) {
	if user == "" {
		enroll(h, h.everybody, s.who.Site, s)
		return
	}
	enroll(h, h.somebody, user, s)
}

func (h *hub) unwatchUser(s *session, user string) {
	if user == "" {
		expel(h, h.everybody, s.who.Site, s)
		return
	}
	expel(h, h.somebody, user, s)
}

// cameOrWent tells those who watch a user, by user key, that it did.
func (h *hub) cameOrWent(user string) {
	site, _, _ := strings.Cut(user, "/")
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.everybody[site] {
		s.pump.standings.changed(false, user)
	}
	for s := range h.somebody[user] {
		s.pump.standings.changed(false, user)
	}
}

// enroll puts s where it is told of k, unless its connection has ended.
func enroll[K comparable](h *hub, m map[K]map[*session]struct{}, k K, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.here(s) {
		put(m, k, s)
	}
}

// expel takes v out again.
func expel[K, V comparable](h *hub, m map[K]map[V]struct{}, k K, v V) {
	h.mu.Lock()
	defer h.mu.Unlock()
	remove(m, k, v)
}

func put[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	set, ok := m[k]
	if !ok {
		set = map[V]struct{}{}
		m[k] = set
	}
	set[v] = struct{}{}
}

func remove[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	delete(m[k], v)
	if len(m[k]) == 0 {
		delete(m, k)
	}
}
