package device

import (
	"bufio"
	"context"
	_ "embed" // the script that plays a page
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/proxy"
)

// Page is a desk on a page in Chromium, with our TypeScript client, behind a cable
// of its own. The client keeps what it cannot send, so a page can do everything while
// it is away; Idle tells when the server has it.
type Page struct {
	rest     *REST // over the cable
	session  *Session
	cable    *proxy.Proxy
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	stderr   *tail
	troubles []string
}

//go:embed page.mjs
var pageScript string

// PageFiles are what a page needs of the source tree.
type PageFiles struct {
	Client     string // the built TypeScript client
	Playwright string // playwright-core's index.mjs, which drives the browser
}

// chromium is Debian's; the environment may name another one, as for the tests of
// the pages.
func chromium() string {
	if named := os.Getenv("CHROMIUM"); named != "" {
		return named
	}
	return "/usr/bin/chromium"
}

// NewPage starts a browser, and signs the agent in on a page of the server whose
// HTTP address, host and port, is given. It is connected when it returns.
func NewPage(ctx context.Context, files PageFiles, address, site, email, password string) (*Page, error) {
	cable, err := proxy.Listen(context.WithoutCancel(ctx), address)
	if err != nil {
		return nil, err
	}
	url := "http://" + cable.Addr()
	p := &Page{cable: cable, rest: NewREST(url), stderr: &tail{}}
	if err := p.start(files); err != nil {
		cable.Close()
		return nil, err
	}
	var told struct {
		Site    string `json:"site"`
		User    string `json:"user"`
		Device  string `json:"device"`
		Refresh string `json:"refresh"`
	}
	err = p.order(&told, map[string]any{"order": "open", "url": url, "executable": chromium(), "site": site, "email": email, "password": password})
	if err == nil {
		err = p.awaitConnection(ctx, 1)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	// REST requests are made with a session of their own: the page renews its.
	if p.session, err = p.rest.Agent(ctx, site, email, password); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Page) start(files PageFiles) error {
	p.cmd = exec.Command("node", "--no-warnings", "--input-type=module", "-e", pageScript, files.Playwright, files.Client)
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = connectTimeout
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start page: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start page: %w", err)
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, maxPacket)
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start page: %w", err)
	}
	return nil
}

// order tells the page to do something, and decodes what it answers.
func (p *Page) order(answer any, order map[string]any) error {
	line, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("order the page: %w", err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("order the page: %w: %s", err, p.stderr)
	}
	if !p.out.Scan() {
		return fmt.Errorf("order the page %v: it has ended: %s", order["order"], p.stderr)
	}
	var got struct {
		Value json.RawMessage `json:"value"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(p.out.Bytes(), &got); err != nil {
		return fmt.Errorf("order the page: %w", err)
	}
	if got.Error != "" {
		return fmt.Errorf("order the page %v: %s", order["order"], got.Error)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got.Value, answer)
}

// awaitConnection waits for the nth connection of the page.
func (p *Page) awaitConnection(ctx context.Context, n int) error {
	for deadline := time.Now().Add(10 * connectTimeout); time.Now().Before(deadline); {
		have, err := p.connections()
		if err != nil || have >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the page does not connect: %s", p.stderr)
}

func (p *Page) connections() (n int, err error) {
	err = p.order(&n, map[string]any{"order": "connections"})
	return n, err
}

// Kind is Chromium.
func (p *Page) Kind() Kind { return Chromium }

// Session is the one that REST requests are made with.
func (p *Page) Session() *Session { return p.session }

// Follow shows a conversation, until Release.
func (p *Page) Follow(conversation string) error {
	return p.order(nil, map[string]any{"order": "follow", "conversation": conversation})
}

// Release stops showing a conversation.
func (p *Page) Release(conversation string) error {
	return p.order(nil, map[string]any{"order": "release", "conversation": conversation})
}

// Mark reads all that the page shows of the conversation, whatever is asked for, as
// a person does. The client marks a little later.
func (p *Page) Mark(_ context.Context, conversation string, _ parley.MarkDraft) error {
	return p.order(nil, map[string]any{"order": "read", "conversation": conversation})
}

// Set sets a register, on whatever the page knows of it. The client makes the id, and
// sends it a little later.
func (p *Page) Set(_ context.Context, d parley.SetDraft) error {
	return p.order(nil, map[string]any{"order": "set", "key": d.Key, "value": d.Value})
}

// Amend edits or deletes a message, as a person does who sees it.
func (p *Page) Amend(_ context.Context, conversation string, kind parley.EntryType, seq int64, text string) (id string, err error) {
	err = p.order(&id, map[string]any{"order": "amend", "conversation": conversation, "type": kind, "seq": seq, "text": text})
	return id, err
}

// Idle reports whether the server has answered everything that was written, edited,
// deleted and set on the page.
func (p *Page) Idle() (idle bool, err error) {
	err = p.order(&idle, map[string]any{"order": "idle"})
	return idle, err
}

// Say writes a message. It is acknowledged when a view has it with its seq.
func (p *Page) Say(_ context.Context, conversation, text string) (id string, err error) {
	err = p.order(&id, map[string]any{"order": "say", "conversation": conversation, "text": text})
	return id, err
}

// Leave pulls the cable, and the browser knows it.
func (p *Page) Leave(context.Context) error {
	p.cable.Freeze()
	return p.order(nil, map[string]any{"order": "away"})
}

// Return plugs the cable in again. What was open is lost.
func (p *Page) Return(ctx context.Context) error {
	before, err := p.connections() // it may not have noticed yet that it has none
	if err != nil {
		return err
	}
	p.cable.Cut()
	p.cable.Heal()
	if err := p.order(nil, map[string]any{"order": "back"}); err != nil {
		return err
	}
	return p.awaitConnection(ctx, before+1)
}

// Version is 0: the client on the page keeps versions to itself.
func (p *Page) Version(string) int64 { return 0 }

// View is what the client on the page shows, its registers without their versions.
func (p *Page) View(_ context.Context, conversations []string) (View, error) {
	var v struct {
		View
		Troubles []string `json:"troubles"`
	}
	err := p.order(&v, map[string]any{"order": "view", "conversations": conversations})
	p.troubles = append(p.troubles, v.Troubles...)
	return v.View, err
}

// Troubles are what the client on the page complained about.
func (p *Page) Troubles() []string { return p.troubles }

// Close ends the browser.
func (p *Page) Close() {
	p.in.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.cmd.Wait() // how it ends is of no interest
	}()
	select {
	case <-ended:
	case <-time.After(4 * connectTimeout):
		_ = p.cmd.Process.Kill() // fails only if it is gone already
		<-ended
	}
	p.rest.Close()
	p.cable.Close()
}
