package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

// rawTunnel is a tunnel request by request.
type rawTunnel struct {
	w      *world
	t      *testing.T
	id     string
	origin string
	n      int
	down   *http.Response
	lines  *bufio.Scanner
	rest   []byte
	cancel context.CancelFunc
}

// httpAnswer is what a request of a tunnel came to.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte
}

func (w *world) request(t *testing.T, method, path, origin string, body []byte) httpAnswer {
	t.Helper()
	answer, err := w.http.Client().Do(w.newRequest(t, t.Context(), method, path, origin, body))
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return httpAnswer{answer.StatusCode, answer.Header, text}
}

func (w *world) newRequest(t *testing.T, ctx context.Context, method, path, origin string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, w.http.URL+path, bytes.NewReader(body))
	must(t, err)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func (w *world) openTunnel(t *testing.T, origin string) string {
	t.Helper()
	answer := w.request(t, http.MethodPost, "/mqtt/http", origin, nil)
	var opened struct{ Tunnel string }
	must(t, json.Unmarshal(answer.body, &opened))
	if answer.status != http.StatusCreated || len(opened.Tunnel) < 26 {
		t.Fatalf("status %d, %s", answer.status, answer.body)
	}
	w.keepSecret(opened.Tunnel)
	return opened.Tunnel
}

func (w *world) rawTunnel(t *testing.T, origin string) *rawTunnel {
	t.Helper()
	r := &rawTunnel{w: w, t: t, id: w.openTunnel(t, origin), origin: origin}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	var err error
	r.down, err = w.http.Client().Do(w.newRequest(t, ctx, http.MethodGet, r.path("down"), origin, nil)) //nolint:bodyclose // Close does
	must(t, err)
	if r.down.StatusCode != http.StatusOK {
		t.Fatalf("down: status %d", r.down.StatusCode)
	}
	r.lines = bufio.NewScanner(r.down.Body)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func (r *rawTunnel) path(end string) string { return "/mqtt/http/" + r.id + "/" + end }

func (r *rawTunnel) up(t *testing.T, n int, chunk []byte) int {
	t.Helper()
	return r.w.request(t, http.MethodPost, fmt.Sprintf("%s?n=%d", r.path("up"), n), r.origin, chunk).status
}

// post sends the next chunk.
func (r *rawTunnel) post(t *testing.T, chunk []byte) {
	t.Helper()
	r.n++
	if status := r.up(t, r.n, chunk); status != http.StatusNoContent {
		t.Fatalf("chunk %d: status %d", r.n, status)
	}
}

func (r *rawTunnel) Write(p []byte) (int, error) {
	r.post(r.t, p)
	return len(p), nil
}

func (r *rawTunnel) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if !r.lines.Scan() {
			return 0, io.EOF
		}
		if data, ok := strings.CutPrefix(r.lines.Text(), "data: "); ok {
			r.rest, _ = base64.StdEncoding.DecodeString(data)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *rawTunnel) Close() error {
	r.cancel()
	return r.down.Body.Close()
}

func TestTunnelRequestsAreRefused(t *testing.T) {
	w := newWorld(t)
	const site, other = "https://one.example", "https://two.example"
	id := w.rawTunnel(t, site).id
	connect := encode(as(w.visitor(), 5).packet(), 5)
	for name, test := range map[string]struct {
		method, path, origin string
		body                 []byte
		status               int
	}{
		"open from a foreign origin":    {"POST", "/mqtt/http", "https://evil.example", nil, 403},
		"open from no origin at all":    {"POST", "/mqtt/http", "null", nil, 403},
		"down from a foreign origin":    {"GET", "/mqtt/http/" + id + "/down", "https://evil.example", nil, 403},
		"up from a foreign origin":      {"POST", "/mqtt/http/" + id + "/up?n=1", "https://evil.example", connect, 403},
		"up from another origin":        {"POST", "/mqtt/http/" + id + "/up?n=1", other, connect, 404},
		"down twice, from no page":      {"GET", "/mqtt/http/" + id + "/down", "", nil, 409},
		"down from another origin":      {"GET", "/mqtt/http/" + id + "/down", other, nil, 404},
		"down twice":                    {"GET", "/mqtt/http/" + id + "/down", site, nil, 409},
		"up to nobody's tunnel":         {"POST", "/mqtt/http/" + parley.NewID("tun_") + "/up?n=1", site, connect, 404},
		"down from nobody's tunnel":     {"GET", "/mqtt/http/" + parley.NewID("tun_") + "/down", site, nil, 404},
		"a chunk before its turn":       {"POST", "/mqtt/http/" + id + "/up?n=2", site, connect, 409},
		"the chunk before the first":    {"POST", "/mqtt/http/" + id + "/up?n=0", site, connect, 400},
		"a chunk without a number":      {"POST", "/mqtt/http/" + id + "/up", site, connect, 400},
		"a chunk that is no number":     {"POST", "/mqtt/http/" + id + "/up?n=1e1", site, connect, 400},
		"a chunk with a number of bits": {"POST", "/mqtt/http/" + id + "/up?n=99999999999999999999", site, connect, 400},
		"an empty chunk":                {"POST", "/mqtt/http/" + id + "/up?n=1", site, nil, 400},
		"a chunk that is too large":     {"POST", "/mqtt/http/" + id + "/up?n=1", site, make([]byte, 64<<10+1), 413},
		"open by another method":        {"PUT", "/mqtt/http", site, nil, 400}, // "this is an MQTT endpoint"
	} {
		t.Run(name, func(t *testing.T) {
			answer := w.request(t, test.method, test.path, test.origin, test.body)
			if answer.status != test.status {
				t.Errorf("status %d, want %d", answer.status, test.status)
			}
			if test.method != "PUT" {
				expectProblem(t, answer)
			}
		})
	}
	empty := w.request(t, "POST", "/mqtt/http/"+id+"/up?n=1", site, nil)
	if p := expectProblem(t, empty); p.Code != parley.CodeInvalid || !strings.Contains(p.Detail, "empty") {
		t.Errorf("an empty chunk: %+v", p)
	}
	if w.broker.Stats().Tunnels != 1 {
		t.Error("the tunnel has ended")
	}
}

type problem struct {
	Type, Title, Detail string
	Status              int
	Code                parley.Code
	Retry               bool
	RetryAfter          int64
}

// expectProblem reads a refusal in the form that REST has.
func expectProblem(t *testing.T, answer httpAnswer) problem {
	t.Helper()
	var p problem
	must(t, json.Unmarshal(answer.body, &p))
	if answer.header.Get("Content-Type") != "application/problem+json" || p.Type != "about:blank" || p.Title != http.StatusText(answer.status) ||
		p.Status != answer.status || p.Code == "" || p.Detail == "" || p.Retry != p.Code.Retry() || p.Retry != (p.RetryAfter > 0) {
		t.Errorf("status %d, %v, %s", answer.status, answer.header, answer.body)
	}
	return p
}

func TestTunnelHeaders(t *testing.T) {
	w := newWorld(t)
	r := w.rawTunnel(t, "https://one.example")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		"Access-Control-Allow-Origin": "https://one.example", "Vary": "Origin",
	} {
		if got := r.down.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// A POST that a client or a proxy repeats counts once, also one that overtakes
// its own repetition.
func TestChunkSentAgainIsTakenOnce(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	r := w.rawTunnel(t, "")
	c := open(t, r, 5)
	id := parley.NewID(parley.PrefixConversation)
	topic := parley.ConversationTopic(parley.TopicSend, w.site.ID, id).String()
	all := drafts(20)
	chunks := [][]byte{encode(as(who, 5).packet(), 5)} // a second CONNECT would end it
	for i, d := range all {
		chunks = append(chunks, encode(publish(topic, uint16(i+1), payloadOf(d)), 5))
	}
	for i, chunk := range chunks {
		var repeating sync.WaitGroup
		for range 3 {
			repeating.Go(func() {
				if status := r.up(t, i+1, chunk); status != http.StatusNoContent {
					t.Errorf("chunk %d: status %d", i+1, status)
				}
			})
		}
		repeating.Wait()
		if status := r.up(t, i/2+1, []byte{0}); status != http.StatusNoContent {
			t.Errorf("an old chunk: status %d", status)
		}
	}
	r.n = len(chunks)
	for i := range all {
		c.expectAck(uint16(i + 1))
	}
	c.ping()
	c.expectNone("a second PUBACK", func(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Puback })
}

// A chunk that was cut on its way has not been there.
func TestHalfAChunkIsNone(t *testing.T) {
	w := newWorld(t)
	who := w.visitor()
	r := w.rawTunnel(t, "")
	c := open(t, r, 5)
	connect := encode(as(who, 5).packet(), 5)
	half, cut := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.http.URL+r.path("up")+"?n=1", half)
	must(t, err)
	go func() {
		_, _ = cut.Write(connect[:10])
		_ = cut.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if answer, err := w.http.Client().Do(request); err == nil {
		_ = answer.Body.Close()
		t.Fatalf("status %d", answer.StatusCode)
	}
	r.post(t, connect)
	c.expect(packets.Connack)
}

func TestTunnelsAreBounded(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxTunnels, o.MaxAddressTunnels = 10, 2 })
	first := w.rawTunnel(t, "")
	w.rawTunnel(t, "")
	answer := w.request(t, http.MethodPost, "/mqtt/http", "", nil)
	if answer.status != http.StatusTooManyRequests || answer.header.Get("Retry-After") == "" {
		t.Errorf("status %d", answer.status)
	}
	must(t, first.Close())
	awaitCount(t, "tunnels", 1, func() int64 { return w.broker.Stats().Tunnels })
	w.rawTunnel(t, "")
}

func TestTunnelsAreBoundedInAll(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.MaxTunnels = 1 })
	w.rawTunnel(t, "")
	if answer := w.request(t, http.MethodPost, "/mqtt/http", "", nil); answer.status != http.StatusTooManyRequests {
		t.Errorf("status %d", answer.status)
	}
}

// One that nobody reads from ends, whatever came up.
func TestTunnelWithoutDownStreamEnds(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.ConnectTimeout = 300 * time.Millisecond })
	who := w.visitor()
	silent, loud := w.openTunnel(t, ""), w.openTunnel(t, "")
	w.request(t, http.MethodPost, "/mqtt/http/"+loud+"/up?n=1", "", encode(as(who, 5).packet(), 5))
	awaitCount(t, "tunnels", 0, func() int64 { return w.broker.Stats().Tunnels })
	if answer := w.request(t, http.MethodGet, "/mqtt/http/"+silent+"/down", "", nil); answer.status != http.StatusNotFound {
		t.Errorf("status %d", answer.status)
	}
}

// Whoever is on the way sees that a silent tunnel is alive.
func TestSilentTunnelBeats(t *testing.T) {
	w := newWorld(t, func(o *broker.Options) { o.TunnelBeat = 20 * time.Millisecond })
	r := w.rawTunnel(t, "")
	for beats := 0; beats < 5; {
		if !r.lines.Scan() {
			t.Fatal("the down stream has ended")
		}
		if r.lines.Text() == ":" {
			beats++
		}
	}
}
