package broker_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// mosquitto returns a command of Debian's clients for a device.
func (w *world) mosquitto(t *testing.T, command string, who parley.Credentials, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		t.Fatalf("%s is missing; install it: apt-get install mosquitto-clients", command)
	}
	host, port, err := net.SplitHostPort(w.tcp)
	must(t, err)
	arguments = append([]string{"-h", host, "-p", port, "-i", who.Identity.ClientID(), "-u", "device", "-P", who.Token, "-q", "1"}, arguments...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, arguments...)
}

// mosquittoPub publishes lines, one message each, on one connection.
func (w *world) mosquittoPub(t *testing.T, version string, who parley.Credentials, conversation string, all []parley.Draft) {
	t.Helper()
	topic := parley.ConversationTopic(parley.TopicSend, w.site.ID, conversation).String()
	cmd := w.mosquitto(t, "mosquitto_pub", who, "-V", version, "-t", topic, "-l")
	var lines bytes.Buffer
	for _, d := range all {
		lines.Write(payloadOf(d))
		lines.WriteByte('\n')
	}
	cmd.Stdin = &lines
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, out)
	}
}

// listener is a running mosquitto_sub.
type listener struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.output.Write(p)
}

func (l *listener) texts() []string { return textIDs(l.received()) }

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.output.String()
}

// received returns the entries of the whole lines.
func (l *listener) received() []parley.Entry {
	var entries []parley.Entry
	for line := range strings.Lines(l.text()) {
		if e, _, err := parley.DecodeEntry("", []byte(line)); err == nil && strings.HasSuffix(line, "\n") {
			entries = append(entries, e)
		}
	}
	return entries
}

// expectTexts waits until exactly these messages have been printed.
func (l *listener) expectTexts(ids []string) {
	l.t.Helper()
	await(l.t, func() string { return cmp.Diff(ids, l.texts()) })
}

// stop ends the process as a user would, and waits for it.
func (l *listener) stop() {
	_ = l.cmd.Process.Kill()
	<-l.done
}

// mosquittoSub follows all conversations of a device until stop.
func (w *world) mosquittoSub(t *testing.T, version string, who parley.Credentials, more ...string) *listener {
	t.Helper()
	topic := parley.ConversationTopic(parley.TopicMessages, w.site.ID, parley.Any).String()
	l := &listener{t: t, done: make(chan struct{})}
	l.cmd = w.mosquitto(t, "mosquitto_sub", who, append([]string{"-V", version, "-t", topic}, more...)...)
	l.cmd.Stdout = l
	l.cmd.Stderr = l
	l.cmd.WaitDelay = time.Second
	must(t, l.cmd.Start())
	go func() {
		defer close(l.done)
		_ = l.cmd.Wait() // killed, mostly
	}()
	t.Cleanup(l.stop)
	return l
}

// persistently are the arguments that keep a session.
func persistently(version string) []string {
	if version == "5" {
		return []string{"-c", "-x", "3600"}
	}
	return []string{"-c"}
}

func TestConversationOnMosquitto(t *testing.T) {
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1) // before the subscription: not delivered
			device := w.again(who)
			sub := w.mosquittoSub(t, version, device)
			await(t, func() string { return w.following(device) })
			old, recent := drafts(100), drafts(100)
			w.mosquittoPub(t, "311", who, id, old)
			w.mosquittoPub(t, "5", w.again(who), id, recent)
			all := slices.Concat(idsOf(old), idsOf(recent))
			if diff := cmp.Diff(all, w.texts(id)[1:]); diff != "" {
				t.Errorf("stored (-sent +stored):\n%s", diff)
			}
			sub.expectTexts(all)
		})
	}
}

// mosquitto_sub with a session gets everything that it missed, in order, also
// after the server was started again.
func TestMosquittoResumes(t *testing.T) {
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1)
			sub := w.mosquittoSub(t, version, who, persistently(version)...)
			await(t, func() string { return w.following(who) })
			w.write(who, id, 5)
			sub.expectTexts(w.texts(id)[1:])
			awaitCount(t, "acknowledged", 5, func() int64 { return w.broker.Stats().Acknowledged })
			sub.stop()
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })

			missed := drafts(300)
			for i, d := range missed {
				w.record(who, id, d)
				if i == 150 {
					w.restart()
				}
			}
			again := w.mosquittoSub(t, version, who, persistently(version)...)
			again.expectTexts(idsOf(missed))
		})
	}
}

// following reports what is missing until a device's subscriptions deliver.
func (w *world) following(who parley.Credentials) string {
	if w.broker.Following(who.Identity.DeviceKey()) == 0 {
		return "it has not subscribed"
	}
	return ""
}
