// Package api is the HTTP side of Parley: the REST API described in
// openapi.yaml, health, metrics, and the embedded web files.
package api

import (
	"context"
	_ "embed" // for the description of the API
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api/web"
)

// Log is the door to the conversations. Every method checks what who may do and
// answers *parley.Error for refusals; any other error is temporary.
type Log interface {
	// Record stores drafts in order and answers each of them, see
	// parley.Appended. An error leaves the outcome of all of them open.
	Record(ctx context.Context, who parley.Identity, conversation string, drafts []parley.Draft) ([]parley.Appended, error)
	// Mark records how far who has got, and answers like Record.
	Mark(ctx context.Context, who parley.Identity, conversation string, d parley.MarkDraft) (parley.Appended, error)
	// Set sets a personal register, and answers like Record.
	Set(ctx context.Context, who parley.Identity, d parley.SetDraft) (parley.Appended, error)
	// Registers returns the personal registers, and from where on to follow the
	// events.
	Registers(ctx context.Context, who parley.Identity) (all []parley.Register, after int64, err error)
	// History returns a page of a conversation's messages or notes.
	History(ctx context.Context, who parley.Identity, conversation string, q parley.HistoryQuery) (parley.HistoryPage, error)
	// Conversation answers CodeNotFound for what who may not read.
	Conversation(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error)
	Conversations(ctx context.Context, who parley.Identity, list parley.ConversationList) ([]parley.Conversation, error)
	// Search answers CodeRateLimited when too many searches run, and CodeInvalid for
	// what cannot be searched for.
	Search(ctx context.Context, who parley.Identity, r parley.SearchRequest) (parley.SearchPage, error)
	// Claim and Finish return the conversation as it is afterwards.
	Claim(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error)
	Finish(ctx context.Context, who parley.Identity, id string) (parley.Conversation, error)
	// Epoch identifies the numbering of all streams.
	Epoch() string
}

// Access says who somebody is. Refusals are *parley.Error.
type Access interface {
	Verify(ctx context.Context, token string) (parley.Identity, error)
	VisitorSession(ctx context.Context, r parley.VisitorRequest) (parley.Credentials, error)
	AgentSession(ctx context.Context, r parley.AgentRequest) (parley.Credentials, error)
	Refresh(ctx context.Context, refreshToken string) (parley.Credentials, error)
	// Link returns what opens an attachment as the holder of an access token, and until
	// when; VerifyLink returns who that is.
	Link(ctx context.Context, token, attachment string) (link string, expires time.Time, err error)
	VerifyLink(ctx context.Context, link, attachment string) (parley.Identity, error)
	// SignOut makes all tokens of who's device void.
	SignOut(ctx context.Context, who parley.Identity) error
	// SignOutUser makes all tokens of a user void.
	SignOutUser(ctx context.Context, who parley.Identity, user string) error
}

// Options configure a Server. Log, Access and Ready are required.
type Options struct {
	Log    Log
	Access Access

	// Ready reports why messages cannot be stored now, or nil. It is asked for
	// every /readyz, with a deadline of 2 s.
	Ready func(ctx context.Context) error

	Attachments Attachments // nil: the server takes none

	// MQTT serves the WebSocket at GET /mqtt, and tunnels at /mqtt/http and below;
	// nil answers 404. It checks the Origin itself. The RemoteAddr of its requests
	// is the client's, also behind TrustedProxies.
	MQTT http.Handler

	// TakePublish counts something that is published from an address, which is the
	// zero one if nobody knows it, and returns 0; or counts nothing and returns how
	// long it takes until it may be. Nil means no limit.
	TakePublish func(who parley.Identity, from netip.Addr) (wait time.Duration)

	// Origins returns the web origins of all sites ("https://example.org"; "*"
	// stands for all), whose pages may call the API. It is asked for every
	// request from another origin, so it should be quick. Nil means none.
	Origins func(ctx context.Context) ([]string, error)

	// FrameAncestors are the origins, besides our own, whose pages may show ours
	// in a frame.
	FrameAncestors []string

	// TrustedProxies are the networks whose X-Forwarded-For is believed. Empty:
	// nobody's, the address of the connection counts.
	TrustedProxies []netip.Prefix

	// Samples are the counters of the other rooms, read for every /metrics.
	Samples []func() []Sample

	Web            fs.FS            // the web files; nil means the embedded ones
	Logger         *slog.Logger     // nil discards
	Now            func() time.Time // the clock, time.Now
	RequestTimeout time.Duration    // of REST requests, 15 s
}

func (o Options) withDefaults() Options {
	if o.Web == nil {
		o.Web = web.Files()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 15 * time.Second
	}
	return o
}

func (o Options) validate() error {
	if o.Log == nil || o.Access == nil || o.Ready == nil {
		return fmt.Errorf("api needs Log, Access and Ready")
	}
	for _, a := range o.FrameAncestors {
		if a == "" || strings.ContainsAny(a, " ;,\t\r\n") { // it goes into a header
			return fmt.Errorf("frame ancestor %q is not an origin", a)
		}
	}
	return nil
}

// mqttPath is where the WebSocket is, as sessions tell their devices. A tunnel's
// down stream lasts as long as one.
const (
	mqttPath   = "/mqtt"
	tunnelDown = mqttPath + "/http/:tunnel/down"
)

//go:embed openapi.yaml
var spec []byte

// Server answers HTTP. It is made of two handlers, which the caller serves with
// NewHTTPServer.
type Server struct {
	options Options
	public  *echo.Echo
	private http.Handler
	metrics *metrics
}

// New returns a Server. It starts nothing.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o, metrics: newMetrics(o.Samples)}
	pages, err := newPages(o.Web, o.FrameAncestors)
	if err != nil {
		return nil, fmt.Errorf("read web files: %w", err)
	}
	s.public = s.newEcho()
	s.routeREST()
	s.routePages(pages)
	s.private = s.newPrivate()
	return s, nil
}

// Public returns the handler for everybody: the API, /mqtt, the pages, /healthz
// and /readyz.
func (s *Server) Public() http.Handler { return s.public }

// Private returns the handler for operators: /metrics, /healthz and /readyz. It
// asks for no token: serve it on a loopback address.
func (s *Server) Private() http.Handler { return s.private }

func (s *Server) newPrivate() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.Handle("GET /healthz", s.public)
	mux.Handle("GET /readyz", s.public)
	return mux
}

// NewHTTPServer returns an http.Server for handler that a slow or greedy client
// cannot pin. WebSockets and tunnels are exempt from its time-outs once they are open. The
// caller serves it and shuts it down.
func NewHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
