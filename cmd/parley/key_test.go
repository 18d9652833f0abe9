package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/storetest"
)

// sealedConfig is that of a server whose sites are sealed.
func sealedConfig(t *testing.T) config {
	t.Helper()
	c := testConfig(t)
	c.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	keyCommandSays(t, "keep a copy", "new")
	keyCommandSays(t, "from their beginning", "seal", "--all", "--data", c.Data)
	return c
}

// TestRotateWhileServing puts new master keys into the key file of a server that is sent
// 200 messages a second: none is refused, and none is lost.
func TestRotateWhileServing(t *testing.T) {
	c := sealedConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	ctx, stop := context.WithCancel(t.Context())
	sent := 0
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond) // 200 a second
		defer tick.Stop()
		for ctx.Err() == nil {
			if status := postMessage(t, n, token, id, parley.NewText(fmt.Sprintf("msg_%05d", sent), "hello")); status != http.StatusCreated {
				t.Errorf("message %d is answered with %d", sent, status)
				return
			}
			sent++
			<-tick.C
		}
	})
	for round := range int64(2) {
		out := keyCommandSays(t, "takes the key up within seconds", "rotate", "--new-data-keys", "--data", c.Data)
		if !strings.Contains(out, "a server is running on the store") || strings.Contains(out, "stop that one") {
			t.Errorf("it does not tell why, or what to do about what is right:\n%s", out)
		}
		for deadline := time.Now().Add(30 * time.Second); n.seal.Stats().Rotation <= round; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the server does not take it up: %+v", n.seal.Stats())
			}
		}
	}
	stop()
	writer.Wait()
	if _, body := get(t, n.metricsAddr, "/metrics"); !strings.Contains(body, "parley_sealed_rotations_total 2") || !strings.Contains(body, "parley_sealed_keys_waiting 0") {
		t.Errorf("metrics:\n%s", body)
	}
	must(t, n.close(t.Context()))
	keys, _, err := readKeyFile(c.KeyFile)
	must(t, err)
	must(t, os.WriteFile(c.KeyFile, []byte(keys.Newest().Line()), 0o600))
	n = startNode(t, c)
	if status := postMessage(t, n, token, id, parley.NewText(fmt.Sprintf("msg_%05d", sent-1), "hello")); status != http.StatusOK {
		t.Errorf("a repeat is answered with %d", status)
	}
	entries, err := n.seal.Read(t.Context(), parley.MessagesOf(demoSite, id), 0, sent+10)
	must(t, err)
	if len(entries) != sent+1 { // and its opening
		t.Errorf("%d entries, %d messages were acknowledged", len(entries), sent)
	}
}

// TestWhereTheKeysAre reads settings that name keys, or try to.
func TestWhereTheKeysAre(t *testing.T) {
	m := seal.NewMasterKey(time.Now(), false)
	secret := strings.Fields(m.Line())[1]
	file := filepath.Join(t.TempDir(), "keys")
	must(t, makeKeyFile(file, m))
	broken := filepath.Join(t.TempDir(), "broken")
	must(t, os.WriteFile(broken, []byte("k1 "+secret[1:]), 0o600))
	for name, c := range map[string]struct {
		keySettings
		want string // the ids; what it is refused with behind a !
	}{
		"nowhere":                 {keySettings{}, ""},
		"here":                    {keySettings{Key: m.Line()}, m.ID()},
		"in a file":               {keySettings{KeyFile: file}, m.ID()},
		"in both":                 {keySettings{Key: m.Line(), KeyFile: file}, "!give one of them"},
		"in a file that is none":  {keySettings{KeyFile: file + "9"}, "!no such file"},
		"in a file that is wrong": {keySettings{KeyFile: broken}, "!PARLEY_KEY_FILE: " + broken + ": master key 1: the key k1 is not 32 bytes"},
		"here, and wrong":         {keySettings{Key: secret}, "!PARLEY_KEY: master key 1: write an id"},
	} {
		keys, err := c.keys()
		want, refused := strings.CutPrefix(c.want, "!")
		if refused != (err != nil) || !refused && keys.String() != want || refused && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want %s", name, keys, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[1:9]) {
			t.Errorf("%s: it tells the key: %v", name, err)
		}
	}
}

// TestAKeyFileThatIsWrong breaks the key file of a server that runs, and mends it.
func TestAKeyFileThatIsWrong(t *testing.T) {
	c := sealedConfig(t)
	var log syncBuffer
	n, err := openNode(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	defer func() { must(t, n.close(context.WithoutCancel(t.Context()))) }()
	was, text, err := readKeyFile(c.KeyFile)
	must(t, err)
	awaitLog := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log has no %q:\n%s", want, log.String())
			}
		}
	}
	must(t, os.WriteFile(c.KeyFile, []byte("nonsense"), 0o600))
	awaitLog("the keys of before are")
	token := visit(t, n)
	if status := postMessage(t, n, token, parley.NewID(parley.PrefixConversation), parley.NewText("msg_00001", "hello")); status != http.StatusCreated || !n.seal.Keys().Equal(was) {
		t.Errorf("a message is answered with %d, the keys are %s", status, n.seal.Keys())
	}
	must(t, os.WriteFile(c.KeyFile, []byte(seal.NewMasterKey(time.Now(), false).Line()+"\n"+text), 0o600))
	awaitLog("data keys are wrapped with the newest master key")
}

// syncBuffer is a buffer that is written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestAKeyIsMissing starts a server on a sealed store without its keys.
func TestAKeyIsMissing(t *testing.T) {
	c := sealedConfig(t)
	must(t, startNode(t, c).close(t.Context()))
	keys, _, err := readKeyFile(c.KeyFile)
	must(t, err)
	other := seal.NewMasterKey(time.Now(), false)
	refused := func(c config) error {
		t.Helper()
		n, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
		if err == nil {
			_ = n.close(context.WithoutCancel(t.Context()))
			t.Error("it starts")
		}
		return err
	}
	c.KeyFile = ""
	for name, change := range map[string]func(c *config){
		"none":    func(*config) {},
		"another": func(c *config) { c.Key = other.Line() },
	} {
		with := c
		change(&with)
		if err := refused(with); err == nil || !strings.Contains(err.Error(), "needs the master key "+keys.Newest().ID()) || !strings.Contains(err.Error(), "PARLEY_KEY_FILE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Key = other.Line() + "," + keys.Newest().Line()
	startNode(t, c)
}

// TestSealASite seals the site of a server that has run, and tells what is plain.
func TestSealASite(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	if status := postMessage(t, n, token, id, parley.NewText("msg_00001", canary)); status != http.StatusCreated {
		t.Fatalf("the message is answered with %d", status)
	}
	must(t, n.close(t.Context()))
	if _, err := runKey(t, "seal", "--site", demoSite, "--data", c.Data); err == nil || !strings.Contains(err.Error(), "parley key new") {
		t.Errorf("without a key: %v", err)
	}
	c.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	keyCommandSays(t, "made "+c.KeyFile, "new")
	if _, err := runKey(t, "new"); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second key file: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	if _, err := runKey(t, "status", "--data", nowhere); err == nil || !strings.Contains(err.Error(), "there is no store in sqlite:"+nowhere) {
		t.Errorf("the status of no store: %v", err)
	}
	for name, args := range map[string][]string{"there is no site nowhere; there are: demo": {"--site", "nowhere"}, "name a site": nil} {
		if _, err := runKey(t, append([]string{"seal", "--data", c.Data}, args...)...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v", args, err)
		}
	}
	keyCommandSays(t, "demo: 0 entries are sealed, 2 are plain", "seal", "--site", demoSite, "--data", c.Data)
	n = startNode(t, c)
	for message, want := range map[string]int{"msg_00001": http.StatusOK, "msg_00002": http.StatusCreated} {
		if status := postMessage(t, n, token, id, parley.NewText(message, canary)); status != want {
			t.Errorf("%s is answered with %d, want %d", message, status, want)
		}
	}
	checkFound(t, n, canary, 2) // what is plain, too
	must(t, n.close(t.Context()))
	keyCommandSays(t, "the data keys are wrapped with it", "rotate", "--data", c.Data)
	out := keyCommandSays(t, "the site demo is sealed: data key 1", "status", "--data", c.Data)
	if !strings.Contains(out, "demo: 1 entries are sealed, 2 are plain") || !strings.Contains(out, "is not needed any more") {
		t.Errorf("status:\n%s", out)
	}
	if info, err := os.Stat(c.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
}

// checkFound searches until the index is filled, and expects so many messages.
func checkFound(t *testing.T, n *node, text string, want int) {
	t.Helper()
	boss := parley.Identity{Site: demoSite, User: "agt_boss", Device: "dev_1", Role: parley.RoleOwner}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page, err := n.bridge.Search(t.Context(), boss, parley.SearchRequest{Text: text, Limit: 100})
		must(t, err)
		if page.Indexing && time.Now().Before(deadline) {
			continue
		}
		if len(page.Hits) != want {
			t.Errorf("%d messages are found, want %d: %+v", len(page.Hits), want, page)
		}
		return
	}
}

// TestMigrateSeals copies a store that has plain entries of a sealed site.
func TestMigrateSeals(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	for m := range 20 {
		if status := postMessage(t, n, token, id, parley.NewText(fmt.Sprintf("msg_%05d", m), canary)); status != http.StatusCreated {
			t.Fatalf("the message is answered with %d", status)
		}
	}
	_, err := n.bridge.Set(t.Context(), parley.Identity{Site: demoSite, User: "vis_1", Device: "dev_1", Role: parley.RoleVisitor},
		parley.SetDraft{ID: "set_00001", Key: "draft:cnv_1", Value: []byte(`{"text":"` + canary + `"}`)})
	must(t, err)
	must(t, n.close(t.Context()))
	c.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	keyCommandSays(t, "made ", "new")
	keyCommandSays(t, "22 are plain", "seal", "--site", demoSite, "--data", c.Data)
	to := filepath.Join(t.TempDir(), "copy")
	if out, err := migrate(t, "--from", "sqlite:"+c.Data, "--to", "sqlite:"+to, "--seal"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if found := storetest.FilesWith(t, to, canary); len(found) > 0 {
		t.Errorf("the text is in the copy: %v", found)
	}
	out := keyCommandSays(t, "demo: 22 entries are sealed, 0 are plain", "status", "--data", to)
	c.Data = to
	n = startNode(t, c)
	if status := postMessage(t, n, token, id, parley.NewText("msg_00007", canary)); status != http.StatusOK {
		t.Errorf("a repeat is answered with %d\n%s", status, out)
	}
	checkFound(t, n, canary, 20)
	registers, err := n.seal.Registers(t.Context(), demoSite, "vis_1")
	if err != nil || len(registers) != 1 || !strings.Contains(string(registers[0].Value), canary) {
		t.Errorf("registers: %+v, %v", registers, err)
	}
}
