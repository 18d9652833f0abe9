package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/internal/fault/database"
)

// keptFolder is what an old Parley that was killed has left, see testdata/kept.
type keptFolder struct {
	dir  string
	said struct { // what it had answered before
		Streams map[string][]map[string]any
		Mine    string
		Words   []string
		Gone    []string
	}
}

func unpackKept(t *testing.T, name string) keptFolder {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "kept", name+".tar.gz.gz"))
	if err != nil {
		t.Fatalf("a folder of each schema version is kept, see testdata/kept/keep: %v", err)
	}
	for range 2 {
		z, err := gzip.NewReader(bytes.NewReader(data))
		must(t, err)
		data, err = io.ReadAll(z)
		must(t, err)
	}
	root := t.TempDir()
	k := keptFolder{dir: filepath.Join(root, "data")}
	archive := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return k
		}
		must(t, err)
		content, err := io.ReadAll(archive)
		must(t, err)
		if header.Name == "said.json" {
			must(t, json.Unmarshal(content, &k.said))
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(header.Name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, content, 0o600))
	}
}

// TestKept opens what was kept from each schema version: everything that an old
// Parley has answered is there, is found, and goes on.
func TestKept(t *testing.T) {
	for version := range sqlite.SchemaVersion() {
		if version == 0 {
			continue
		}
		t.Run(fmt.Sprintf("sqlite %d", version), func(t *testing.T) {
			k := unpackKept(t, fmt.Sprintf("sqlite-%d", version))
			c := testConfig(t)
			c.Data = k.dir
			k.goesOn(t, c)
		})
	}
	binary, err := database.Build(t.Context(), t.TempDir())
	must(t, err)
	for version := 1; version <= max(1, mongo.SchemaVersion()-1); version++ {
		t.Run(fmt.Sprintf("mongo %d", version), func(t *testing.T) {
			k := unpackKept(t, fmt.Sprintf("mongo-%d", version))
			d, err := database.New(t.Context(), binary, k.dir)
			must(t, err)
			must(t, d.Start(t.Context()))
			t.Cleanup(d.Kill)
			k.goesOn(t, databaseConfig(t, d.URI("kept")))
		})
	}
}

// goesOn starts servers on what was kept.
func (k keptFolder) goesOn(t *testing.T, c config) {
	first := startNode(t, c)
	visitor, mine := visit(t, first), parley.NewID(parley.PrefixConversation)
	if status := postMessage(t, first, visitor, mine, parley.NewText("msg_00001", "and today 今天")); status != http.StatusCreated {
		t.Errorf("a new message is answered with %d", status)
	}
	agent := signIn(t, first)
	if status := postMessage(t, first, agent, k.said.Mine, parley.NewText("msg_00002", "an answer of today")); status != http.StatusCreated {
		t.Errorf("an answer is answered with %d", status)
	}
	k.check(t, first, agent)
	for _, word := range k.said.Words {
		k.find(t, first, agent, word)
	}
	must(t, first.close(t.Context()))

	before := readStore(t, c)
	second := startNode(t, c)
	k.check(t, second, signIn(t, second))
	must(t, second.close(t.Context()))
	if d := cmp.Diff(before, readStore(t, c)); d != "" {
		t.Errorf("what the next start changed (-before +after):\n%s", d)
	}
}

// check compares the conversations with what the old server had answered, of which
// each field is there still.
func (k keptFolder) check(t *testing.T, n *node, token string) {
	t.Helper()
	for conversation, want := range k.said.Streams {
		var page struct{ Entries []map[string]any }
		ask(t, n, token, "/v1/conversations/"+conversation+"/messages?limit=200", &page)
		if more := len(page.Entries) - len(want); more < 0 || more > 1 {
			t.Fatalf("%s has %d entries, had %d", conversation, len(page.Entries), len(want))
		}
		for i, entry := range want {
			now := map[string]any{}
			for name := range entry {
				now[name] = page.Entries[i][name]
			}
			if d := cmp.Diff(entry, now); d != "" {
				t.Fatalf("%s, entry %d (-then +now):\n%s", conversation, i+1, d)
			}
		}
	}
	if data, err := json.Marshal(k.said.Streams); err != nil || len(k.said.Streams) < 3 {
		t.Errorf("kept: %d conversations, %v", len(k.said.Streams), err)
	} else {
		for _, text := range k.said.Gone {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%q is still there", text)
			}
		}
	}
}

// find waits until a word is found: the index of an old folder is made behind.
func (k keptFolder) find(t *testing.T, n *node, token, word string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var page struct {
			Hits     []json.RawMessage
			Indexing bool
		}
		ask(t, n, token, "/v1/search?conversation="+k.said.Mine+"&q="+url.QueryEscape(word), &page)
		if len(page.Hits) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not found; still indexing: %v", word, page.Indexing)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

func signIn(t *testing.T, n *node) string {
	t.Helper()
	account := `{"site":"` + demoSite + `","email":"` + demoEmail + `","password":"` + demoPassword + `"}`
	r, err := http.Post("http://"+n.httpAddr.String()+"/v1/agent-sessions", "application/json", strings.NewReader(account))
	must(t, err)
	defer func() { _ = r.Body.Close() }()
	var session struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&session); err != nil || session.Token == "" {
		t.Fatalf("agent session: %d, %v", r.StatusCode, err)
	}
	return session.Token
}

func ask(t *testing.T, n *node, token, path string, answer any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.httpAddr.String()+path, http.NoBody)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(r)
	must(t, err)
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, a.Status)
	}
	must(t, json.NewDecoder(a.Body).Decode(answer))
}

// readStore reads every stream of a store that nobody has open, and what devices have
// left there.
func readStore(t *testing.T, c config) map[string]any {
	t.Helper()
	at, err := c.location()
	must(t, err)
	s, err := at.openToRead(t.Context(), false, slog.New(slog.DiscardHandler))
	must(t, err)
	defer func() { must(t, s.Close()) }()
	found := map[string]any{"epoch": s.Epoch()}
	states, err := s.Streams(t.Context(), "", 1000)
	must(t, err)
	for _, state := range states {
		entries := readStream(t.Context(), t, s, state)
		found[string(state.Stream)] = entries
	}
	for _, kind := range []bridge.RowKind{bridge.RowSecret, bridge.RowSite, bridge.RowSession, bridge.RowCursor, bridge.RowRegister} {
		rows, err := s.Rows(t.Context(), kind, "", 1000)
		must(t, err)
		if (kind == bridge.RowSession || kind == bridge.RowSecret) && len(rows) == 0 {
			t.Errorf("there are no rows of %s", kind)
		}
		found[string(kind)] = rows
	}
	return found
}

func readStream(ctx context.Context, t *testing.T, s wholeStore, state bridge.StreamState) []parley.Entry {
	t.Helper()
	entries, err := s.Read(ctx, state.Stream, 0, 1000)
	must(t, err)
	for i, e := range entries {
		if e.Seq != int64(i+1) {
			t.Fatalf("%s: entry %d has seq %d", state.Stream, i+1, e.Seq)
		}
	}
	if int64(len(entries)) != state.Seq {
		t.Fatalf("%s has %d entries, ends at %d", state.Stream, len(entries), state.Seq)
	}
	return entries
}
