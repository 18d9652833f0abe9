//go:build linux

package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/bench/wire"
	"github.com/parley-chat/parley/internal/fault/server"
)

// Parley is this product as it is served: tokens, rights, and a store that is
// durable before it acknowledges.
type Parley struct {
	binary string
	folder string
	server *server.Server
}

// NewParley returns the server of a parley binary.
func NewParley(binary string) *Parley { return &Parley{binary: binary} }

// Name implements Broker.
func (p *Parley) Name() string { return "parley" }

// Version implements Broker.
func (p *Parley) Version() string { return "" }

// TCP implements Broker.
func (p *Parley) TCP() string { return p.server.MQTT() }

// WebSocket implements Broker.
func (p *Parley) WebSocket() string { return strings.TrimPrefix(p.server.URL(), "http://") }

// PID implements Broker.
func (p *Parley) PID() int { return p.server.PID() }

// Ordered implements Broker.
func (p *Parley) Ordered() bool { return true }

// Start implements Broker. Devices are signed in first, and then the server is
// started again, so that what is measured has neither hashed passwords nor
// served a thousand requests.
func (p *Parley) Start(ctx context.Context, conversations, devices int) (_ []Conversation, err error) {
	p.Stop()
	defer func() {
		if err != nil {
			p.Stop()
		}
	}()
	if p.folder, err = os.MkdirTemp("", "parley-bench-"); err != nil {
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	p.server, err = server.New(server.Config{Binary: p.binary, Data: p.folder, Env: []string{server.DemoSite, "PARLEY_LOG=error"}})
	if err != nil {
		return nil, err
	}
	if err := p.server.Start(ctx); err != nil {
		return nil, err
	}
	all, err := p.signIn(ctx, conversations, devices)
	if err != nil {
		return nil, err
	}
	if err := p.server.Stop(ctx); err != nil {
		return nil, err
	}
	return all, p.server.Start(ctx)
}

// Stop implements Broker.
func (p *Parley) Stop() {
	if p.server != nil {
		p.server.Kill()
		p.server = nil
	}
	if p.folder != "" {
		_ = os.RemoveAll(p.folder) // in the folder for temporary ones
		p.folder = ""
	}
}

// signers is how many sign in at a time.
const signers = 4

// signIn makes a visitor for each conversation. All devices of a conversation
// are its visitor's: a refresh token brings another device without a password,
// whose hashing would take 40 ms each.
func (p *Parley) signIn(ctx context.Context, conversations, devices int) ([]Conversation, error) {
	desk := desk{url: p.server.URL() + "/v1/visitor-sessions", http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: signers}}}
	defer desk.http.CloseIdleConnections()
	all := make([]Conversation, conversations)
	errs := make([]error, signers)
	var wg sync.WaitGroup
	for n := range signers {
		wg.Go(func() {
			for i := n; i < len(all) && errs[n] == nil; i += signers {
				all[i], errs[n] = desk.conversation(ctx, devices)
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// desk is where visitors sign in.
type desk struct {
	url  string
	http *http.Client
}

// credentials of a device, as the API answers them.
type credentials struct {
	Site         string `json:"site"`
	User         string `json:"user"`
	Device       string `json:"device"`
	Token        string `json:"token"`
	RefreshToken string `json:"refreshToken"`
}

func (d desk) conversation(ctx context.Context, devices int) (Conversation, error) {
	var c Conversation
	id := parley.NewID(parley.PrefixConversation)
	visitor := ""
	for range devices {
		got, err := d.visitor(ctx, visitor)
		if err != nil {
			return c, fmt.Errorf("sign a visitor in: %w", err)
		}
		visitor = got.RefreshToken
		c.Send = parley.ConversationTopic(parley.TopicSend, got.Site, id).String()
		c.Messages = parley.ConversationTopic(parley.TopicMessages, got.Site, id).String()
		c.Devices = append(c.Devices, wire.Login{ClientID: got.User + "." + got.Device, Password: got.Token})
	}
	return c, nil
}

// visitor returns a new device, of a new visitor without a refresh token.
func (d desk) visitor(ctx context.Context, refreshToken string) (c credentials, err error) {
	request := map[string]string{"siteKey": server.SiteKey, "name": "bench"}
	if refreshToken != "" {
		request["refreshToken"] = refreshToken
	}
	body, err := json.Marshal(request)
	if err != nil {
		return c, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return c, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return c, fmt.Errorf("the server answered %s", resp.Status)
	}
	return c, json.NewDecoder(resp.Body).Decode(&c)
}
