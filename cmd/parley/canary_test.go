package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/internal/fault/server"
)

// canaries are told to a server in every way in which people's words get there.
const canaries = 1000

// canaryMark is in each of them, and in some of their tokens.
const canaryMark = "zyxkanari"

func canaryText(n int) string { return fmt.Sprintf("%s%04dvogel 金丝雀%d sings", canaryMark, n, n) }

// TestCanaries writes 1,000 texts to a sealed server: messages, notes, edits and drafts,
// over MQTT and REST. It looks for them in all files while the server runs, after it was
// stopped, and after it was killed.
func TestCanaries(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PARLEY_KEY_FILE", filepath.Join(t.TempDir(), "keys"))
	data := filepath.Join(dir, "data")
	keyCommandSays(t, "made ", "new")
	keyCommandSays(t, "sealed from their beginning", "seal", "--all", "--data", data)
	temp := filepath.Join(dir, "temp")
	must(t, os.Mkdir(temp, 0o700))
	s, err := server.New(server.Config{Binary: os.Args[0], Data: data, Env: []string{asCommand + "=1", server.DemoSite, "TMPDIR=" + temp}})
	must(t, err)
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Kill)
	c := newChoir(t, s)
	for n := range canaries / 2 {
		c.sing(n)
	}
	c.search(canaries / 2)
	checkNoCanary(t, dir, "while it runs")
	must(t, s.Stop(t.Context()))
	checkNoCanary(t, dir, "after a stop")
	must(t, s.Start(t.Context()))
	c.connect(s)
	for n := range canaries / 2 {
		c.sing(canaries/2 + n)
	}
	c.search(canaries)
	s.Kill()
	checkNoCanary(t, dir, "after a kill")
	must(t, s.Start(t.Context()))
	c.connect(s)
	c.search(canaries)
	must(t, s.Stop(t.Context()))
	checkNoCanary(t, dir, "at the end")
	keyCommandSays(t, " entries are sealed, 0 are plain, of 0 the text was deleted", "status", "--data", data)
}

// keyCommandSays runs a key command, which has to say that.
func keyCommandSays(t *testing.T, want string, args ...string) string {
	t.Helper()
	out, err := runKey(t, args...)
	if err != nil || !strings.Contains(out, want) {
		t.Fatalf("parley key %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func runKey(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"key"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// choir is a visitor and an agent.
type choir struct {
	t              *testing.T
	url            string
	conversation   string
	visitor, agent singer
}

type singer struct {
	User, Device, Token string
	client              mqtt.Client
}

func newChoir(t *testing.T, s *server.Server) *choir {
	c := &choir{t: t, url: s.URL(), conversation: parley.NewID(parley.PrefixConversation)}
	c.post("/v1/visitor-sessions", "", map[string]string{"siteKey": server.SiteKey}, &c.visitor)
	c.post("/v1/agent-sessions", "", map[string]string{"site": server.Site, "email": server.AgentEmail, "password": server.Password}, &c.agent)
	c.connect(s)
	c.publish(&c.visitor, "c/"+c.conversation+"/send", parley.NewText("msg_first", canaryMark))
	c.post("/v1/conversations/"+c.conversation+"/claim", c.agent.Token, struct{}{}, &struct{}{})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		c.visitor.client.Disconnect(0)
		c.agent.client.Disconnect(0)
	})
	return c
}

func (c *choir) connect(s *server.Server) {
	c.t.Helper()
	for _, who := range []*singer{&c.visitor, &c.agent} {
		if who.client != nil {
			who.client.Disconnect(0)
		}
		who.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.MQTT()).SetClientID(who.User + "." + who.Device).
			SetUsername("x").SetPassword(who.Token).SetCleanSession(false).SetAutoReconnect(false))
		c.wait(who.client.Connect())
	}
}

func (c *choir) wait(token mqtt.Token) {
	c.t.Helper()
	if !token.WaitTimeout(time.Minute) {
		c.t.Fatal("no answer")
	}
	must(c.t, token.Error())
}

func (c *choir) publish(who *singer, topic string, v any) {
	c.t.Helper()
	payload, err := json.Marshal(v)
	must(c.t, err)
	c.wait(who.client.Publish("p1/"+server.Site+"/"+topic, 1, false, payload))
}

func (c *choir) post(path, token string, v, answer any) {
	c.t.Helper()
	payload, err := json.Marshal(v)
	must(c.t, err)
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+path, bytes.NewReader(payload))
	must(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	c.do(r, token, answer)
}

func (c *choir) do(r *http.Request, token string, answer any) {
	c.t.Helper()
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	must(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		c.t.Fatalf("%s is answered with %d", r.URL.Path, resp.StatusCode)
	}
	must(c.t, json.NewDecoder(resp.Body).Decode(answer))
}

// sing tells the server the n-th canary, in one way after the other.
func (c *choir) sing(n int) {
	c.t.Helper()
	text, id := canaryText(n), fmt.Sprintf("msg_%05d", n)
	in := "c/" + c.conversation
	draft := map[string]any{"id": id, "key": fmt.Sprintf("draft:cnv_%d", n%50), "value": map[string]string{"text": text}, "basedOn": 0}
	switch n % 5 {
	case 0:
		c.publish(&c.visitor, in+"/send", parley.NewText(id, text))
	case 1:
		c.post("/v1/conversations/"+c.conversation+"/messages", c.agent.Token, parley.NewText(id, text), &struct{}{})
	case 2:
		c.publish(&c.agent, in+"/notes/send", parley.NewText(id, text))
	case 3:
		c.publish(&c.visitor, in+"/send", parley.Draft{ID: id, Type: parley.EntryEdit, Body: fmt.Appendf(nil, `{"seq":2,"text":%q}`, text)})
	case 4:
		if n%2 == 0 {
			c.publish(&c.visitor, "u/"+c.visitor.User+"/set", draft)
			return
		}
		draft["key"] = fmt.Sprintf("open:cnv_%d", n)
		c.post("/v1/me/registers", c.agent.Token, draft, &struct{}{})
	}
}

// search expects all messages and notes of the first n canaries, which are not drafts or
// edits that others have replaced.
func (c *choir) search(n int) {
	c.t.Helper()
	found := 0
	for cursor := ""; ; {
		q := url.Values{"q": {"金丝雀"}, "limit": {"100"}, "cursor": {cursor}}
		if cursor == "" {
			q.Del("cursor")
		}
		r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+"/v1/search?"+q.Encode(), http.NoBody)
		must(c.t, err)
		var page struct {
			Hits []struct {
				Snippet []struct{ Text string } `json:"snippet"`
			} `json:"hits"`
			Next     string `json:"nextCursor"`
			Indexing bool   `json:"indexing"`
		}
		c.do(r, c.agent.Token, &page)
		if page.Indexing {
			found, cursor = 0, ""
			time.Sleep(50 * time.Millisecond) // asking makes it slower
			continue
		}
		for _, h := range page.Hits {
			if len(h.Snippet) > 0 && strings.HasPrefix(h.Snippet[0].Text, canaryMark) {
				found++
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if want := n*3/5 + 1; found != want { // and the first message, by its newest edit
		c.t.Errorf("%d canaries are found, want %d", found, want)
	}
}

// checkNoCanary looks for canaries and for what they could be found by in all files:
// words, in two encodings, and terms of an index that takes no key.
func checkNoCanary(t *testing.T, dir, when string) {
	t.Helper()
	needles := map[string][]byte{"the mark": []byte(canaryMark), "a word": []byte("金丝雀")}
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		var wide []byte
		for _, u := range utf16.Encode([]rune(canaryMark)) {
			wide = order.AppendUint16(wide, u)
		}
		needles["the mark as UTF-16, "+name] = wide
	}
	terms := canaryTerms()
	files, size := 0, 0
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() { // a folder, or the socket of a server that runs
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files, size = files+1, size+len(data)
		for name, needle := range needles {
			if at := bytes.Index(data, needle); at >= 0 {
				t.Errorf("%s: %s is in %s at %d", when, name, path, at)
			}
		}
		hits := 0
		for at := range max(0, len(data)-8) {
			if terms[[8]byte(data[at:at+8])] {
				hits++
			}
		}
		if hits > 3 { // by chance there is hardly one
			t.Errorf("%s: %d terms without a key are in %s", when, hits, path)
		}
		return nil
	}))
	if files < 2 || size < 100<<10 {
		t.Errorf("%s: only %d files with %d bytes", when, files, size)
	}
}

// canaryTerms returns the terms that the embedded store makes of canaries where their
// site is not sealed.
func canaryTerms() map[[8]byte]bool {
	letters := base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")
	terms := map[[8]byte]bool{}
	for n := range canaries {
		for _, token := range search.Tokens(canaryText(n)) {
			for _, kind := range []parley.TopicKind{parley.TopicMessages, parley.TopicNotes} {
				sum := sha256.Sum256([]byte(server.Site + "/" + string(kind) + "/w" + token))
				terms[[8]byte([]byte(letters.EncodeToString(sum[:5])))] = true
			}
		}
	}
	return terms
}
