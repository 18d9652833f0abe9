// Package device plays the devices of visitors and agents: independent clients
// of the REST API and of MQTT, in both protocol versions, that write down what
// they sent, what was acknowledged and what they would have shown.
package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// REST speaks to the REST API. It is safe for concurrent use.
type REST struct {
	base string
	http *http.Client
	// Now is the clock of the devices, which may be wrong; nil means time.Now. Set it
	// before the first call.
	Now func() time.Time
}

// NewREST returns a client of the server at base, a URL without a slash at the
// end.
func NewREST(base string) *REST {
	return &REST{base: base, http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
}

// Close drops idle connections.
func (r *REST) Close() { r.http.CloseIdleConnections() }

// Session is the credentials of one device. Its token is renewed in place; it
// is safe for concurrent use.
type Session struct {
	Site   string
	User   string
	Device string

	mu      sync.Mutex
	token   string
	expires time.Time
	refresh string
	doubted bool // the server has refused the token
}

// doubt makes the next Token renew it, whatever the clock says: the server's may be
// another.
func (s *Session) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted = true
}

// ClientID is the MQTT client identifier of the device.
func (s *Session) ClientID() string { return s.User + "." + s.Device }

// Topic returns the topic or filter of kind for a conversation, which may be
// parley.Any.
func (s *Session) Topic(kind parley.TopicKind, conversation string) string {
	return parley.ConversationTopic(kind, s.Site, conversation).String()
}

type sessionBody struct {
	Site           string `json:"site"`
	User           string `json:"user"`
	Device         string `json:"device"`
	Token          string `json:"token"`
	TokenExpiresAt int64  `json:"tokenExpiresAt"`
	RefreshToken   string `json:"refreshToken"`
}

func (s *Session) take(b sessionBody) {
	s.token, s.refresh, s.expires, s.doubted = b.Token, b.RefreshToken, time.UnixMilli(b.TokenExpiresAt), false
}

// Credentials are a Session that can be handed to another process. The two must
// not both renew it.
type Credentials struct {
	Site    string    `json:"site"`
	User    string    `json:"user"`
	Device  string    `json:"device"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Refresh string    `json:"refresh"`
}

// Credentials returns what s is at present.
func (s *Session) Credentials() Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Credentials{s.Site, s.User, s.Device, s.token, s.expires, s.refresh}
}

// Session returns the session that c was taken from.
func (c Credentials) Session() *Session {
	return &Session{Site: c.Site, User: c.User, Device: c.Device, token: c.Token, expires: c.Expires, refresh: c.Refresh}
}

// Visitor makes a new visitor with one device on the site of the public key.
func (r *REST) Visitor(ctx context.Context, siteKey, name string) (*Session, error) {
	return r.signIn(ctx, "/v1/visitor-sessions", map[string]string{"siteKey": siteKey, "name": name})
}

// SameVisitor makes another device of the visitor of s.
func (r *REST) SameVisitor(ctx context.Context, siteKey string, s *Session) (*Session, error) {
	return r.signIn(ctx, "/v1/visitor-sessions", map[string]string{"siteKey": siteKey, "refreshToken": s.Credentials().Refresh})
}

// Agent signs an agent in on a new device.
func (r *REST) Agent(ctx context.Context, site, email, password string) (*Session, error) {
	return r.signIn(ctx, "/v1/agent-sessions", map[string]string{"site": site, "email": email, "password": password})
}

func (r *REST) signIn(ctx context.Context, path string, request map[string]string) (*Session, error) {
	var b sessionBody
	if err := r.do(ctx, http.MethodPost, path, "", request, &b); err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	s := &Session{Site: b.Site, User: b.User, Device: b.Device}
	s.take(b)
	return s, nil
}

// renewBefore is how long before its end a token is renewed.
const renewBefore = time.Minute

// Token returns a token of s that is good for a minute at least, and renews it
// first where necessary.
func (r *REST) Token(ctx context.Context, s *Session) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	if !s.doubted && s.expires.Sub(now()) > renewBefore {
		return s.token, nil
	}
	var b sessionBody
	if err := r.do(ctx, http.MethodPost, "/v1/tokens/refresh", "", map[string]string{"refreshToken": s.refresh}, &b); err != nil {
		return "", fmt.Errorf("renew token: %w", err)
	}
	s.take(b)
	return s.token, nil
}

// Claim makes the agent of s responsible for a conversation. Claiming again
// changes nothing.
func (r *REST) Claim(ctx context.Context, s *Session, conversation string) error {
	return r.as(ctx, s, http.MethodPost, "/v1/conversations/"+conversation+"/claim", nil, &struct{}{})
}

// CloseConversation closes a conversation that the agent of s is responsible for.
// Closing again changes nothing.
func (r *REST) CloseConversation(ctx context.Context, s *Session, conversation string) error {
	return r.as(ctx, s, http.MethodPost, "/v1/conversations/"+conversation+"/close", nil, &struct{}{})
}

// Head is how many entries a conversation has.
func (r *REST) Head(ctx context.Context, s *Session, conversation string) (int, error) {
	var page struct {
		Head int `json:"head"`
	}
	path := fmt.Sprintf("/v1/conversations/%s/messages?after=0&limit=1", conversation)
	if err := r.as(ctx, s, http.MethodGet, path, nil, &page); err != nil {
		return 0, fmt.Errorf("read conversation: %w", err)
	}
	return page.Head, nil
}

// Say sends a draft, or what looks like one, and returns the position that it was
// given.
func (r *REST) Say(ctx context.Context, s *Session, conversation string, d any) (seq int64, err error) {
	var receipt struct {
		Seq int64 `json:"seq"`
	}
	err = r.as(ctx, s, http.MethodPost, "/v1/conversations/"+conversation+"/messages", d, &receipt)
	return receipt.Seq, err
}

const entriesPage = 200

// Entries reads a conversation's messages stream from the beginning to its
// present head.
func (r *REST) Entries(ctx context.Context, s *Session, conversation string) ([]parley.Entry, error) {
	stream := parley.MessagesOf(s.Site, conversation)
	var all []parley.Entry
	for after := int64(0); ; {
		var page struct {
			Head    int64             `json:"head"`
			Entries []json.RawMessage `json:"entries"`
		}
		path := fmt.Sprintf("/v1/conversations/%s/messages?after=%d&limit=%d", conversation, after, entriesPage)
		if err := r.as(ctx, s, http.MethodGet, path, nil, &page); err != nil {
			return nil, fmt.Errorf("read conversation: %w", err)
		}
		for _, raw := range page.Entries {
			e, _, err := parley.DecodeEntry(stream, raw)
			if err != nil {
				return nil, fmt.Errorf("read conversation: %w", err)
			}
			all = append(all, e)
			after = max(after, e.Seq)
		}
		if len(page.Entries) == 0 {
			return all, nil
		}
	}
}

// Marks are how far everybody has got in a conversation whom s may see.
func (r *REST) Marks(ctx context.Context, s *Session, conversation string) (parley.Marks, error) {
	var state parley.State
	if err := r.as(ctx, s, http.MethodGet, "/v1/conversations/"+conversation, nil, &state); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return state.Marks, nil
}

// Search returns how many hits the first page of a search has. whole tells that it
// is all that could be there: it was not cut off, and the index lacks nothing.
func (r *REST) Search(ctx context.Context, s *Session, query url.Values) (hits int, whole bool, err error) {
	var page struct {
		Hits     []json.RawMessage `json:"hits"`
		Partial  bool              `json:"partial"`
		Indexing bool              `json:"indexing"`
	}
	err = r.as(ctx, s, http.MethodGet, "/v1/search?"+query.Encode(), nil, &page)
	return len(page.Hits), !page.Partial && !page.Indexing, err
}

// Registers are the personal registers of the user of s, and how many events that
// user has had.
func (r *REST) Registers(ctx context.Context, s *Session) (all []parley.Register, events int64, err error) {
	var answer struct {
		Registers []parley.Register `json:"registers"`
		After     int64             `json:"after"`
	}
	if err := r.as(ctx, s, http.MethodGet, "/v1/me/registers", nil, &answer); err != nil {
		return nil, 0, fmt.Errorf("read registers: %w", err)
	}
	return answer.Registers, answer.After, nil
}

func (r *REST) as(ctx context.Context, s *Session, method, path string, request, answer any) error {
	for again := false; ; again = true {
		token, err := r.Token(ctx, s)
		if err != nil {
			return err
		}
		err = r.do(ctx, method, path, token, request, answer)
		if refused := (*parley.Error)(nil); again || !errors.As(err, &refused) || refused.Code != parley.CodeUnauthenticated {
			return err
		}
		s.doubt()
	}
}

// do makes one request. A refusal becomes a *parley.Error, anything else that
// is not 2xx, and every network error, an ordinary one.
func (r *REST) do(ctx context.Context, method, path, token string, request, answer any) error {
	body := io.Reader(http.NoBody)
	if request != nil {
		data, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return refusal(resp.StatusCode, data)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%s %s: decode answer: %w", method, path, err)
	}
	return nil
}

func refusal(status int, data []byte) error {
	var problem struct {
		Code   parley.Code `json:"code"`
		Detail string      `json:"detail"`
		ID     string      `json:"id"`
	}
	if json.Unmarshal(data, &problem) != nil || problem.Code == "" {
		return fmt.Errorf("status %d without a problem", status)
	}
	return &parley.Error{Code: problem.Code, Message: problem.Detail, ID: problem.ID}
}
