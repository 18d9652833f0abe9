package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// phone is a visitor's, followed by mosquitto_sub with a session.
type phone struct {
	User, Device, Token string
}

func newPhone(t *testing.T, n *node) phone {
	t.Helper()
	r, err := http.Post("http://"+n.httpAddr.String()+"/v1/visitor-sessions", "application/json", strings.NewReader(`{"siteKey":"`+demoSiteKey+`"}`))
	must(t, err)
	defer func() { _ = r.Body.Close() }()
	var d phone
	must(t, json.NewDecoder(r.Body).Decode(&d))
	return d
}

// listening is a running mosquitto_sub and what it has printed.
type listening struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *listening) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// arrived is what a device knows an entry by.
type arrived struct {
	Epoch string
	Seq   int64
	ID    string
}

func (l *listening) arrived(t *testing.T) (list []arrived) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.out.String()) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var one arrived
		if json.Unmarshal([]byte(line), &one) != nil {
			t.Errorf("mosquitto_sub says %s", line)
		}
		if !strings.HasPrefix(one.ID, "msg_") {
			one.ID = "" // of a control entry
		}
		list = append(list, one)
	}
	return list
}

// follow runs mosquitto_sub until the returned function is called.
func (d phone) follow(t *testing.T, n *node) (*listening, func()) {
	t.Helper()
	path, err := exec.LookPath("mosquitto_sub")
	if err != nil {
		t.Fatal("mosquitto_sub is missing; install it: apt-get install mosquitto-clients")
	}
	host, port, err := net.SplitHostPort(n.mqttAddr.String())
	must(t, err)
	cmd := exec.CommandContext(t.Context(), path, "-h", host, "-p", port, "-V", "5", "-c", "-x", "3600", "-q", "1",
		"-i", d.User+"."+d.Device, "-u", "device", "-P", d.Token, "-t", "p1/"+demoSite+"/c/+/messages")
	l := &listening{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = l, l, time.Second
	must(t, cmd.Start())
	until(t, func() string {
		rows, err := n.store.(bridge.Portable).Rows(t.Context(), bridge.RowSession, "", 10)
		must(t, err)
		for _, row := range rows {
			if strings.Contains(string(row.Value), d.Device) && strings.Contains(string(row.Value), "/messages") {
				return ""
			}
		}
		return "the device has not subscribed"
	})
	return l, sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
}

// until waits for a condition that says why not yet.
func until(t *testing.T, lacks func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		why := lacks()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
	}
}

// TestDeviceAfterRestore follows a device that had received what a backup has, and more.
// After the restore it is sent everything anew, in order and once, then what is new.
func TestDeviceAfterRestore(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	d, id := newPhone(t, n), parley.NewID(parley.PrefixConversation)
	say := func(n *node, names ...string) {
		t.Helper()
		for _, name := range names {
			if status := postMessage(t, n, d.Token, id, parley.NewText("msg_"+name, "hello")); status != http.StatusCreated {
				t.Fatalf("%s is answered with %d", name, status)
			}
		}
	}
	expect := func(l *listening, want ...arrived) {
		t.Helper()
		until(t, func() string { return cmp.Diff(want, l.arrived(t)) })
	}
	say(n, "first")
	sub, stop := d.follow(t, n)
	defer stop()
	say(n, "second", "third")
	file, to := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "new")
	succeeds(t, "backup", "--data", c.Data, "--plain", file)
	say(n, "lost0")
	old := n.bridge.Epoch()
	expect(sub, arrived{old, 3, "msg_second"}, arrived{old, 4, "msg_third"}, arrived{old, 5, "msg_lost0"})
	until(t, func() string {
		if n.broker.Stats().Acknowledged < 3 {
			return "the device has not acknowledged"
		}
		return ""
	})
	stop()
	must(t, n.close(t.Context())) // and then the disk dies

	succeeds(t, "restore", "--to", "sqlite:"+to, file)
	c.Data = to
	n = startNode(t, c)
	say(n, "other")
	sub, stop = d.follow(t, n)
	defer stop()
	say(n, "fresh")
	now := n.bridge.Epoch()
	expect(sub, arrived{now, 1, ""}, arrived{now, 2, "msg_first"}, arrived{now, 3, "msg_second"}, arrived{now, 4, "msg_third"},
		arrived{now, 5, "msg_other"}, arrived{now, 6, "msg_fresh"})
	stop()
}
