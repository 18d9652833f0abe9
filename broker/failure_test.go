package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/broker"
)

func recordFor(d time.Duration) func(*broker.Options) {
	return func(o *broker.Options) { o.RecordTimeout = d }
}

func isPuback(pk packets.Packet) bool { return pk.FixedHeader.Type == packets.Puback }

// While the store cannot write there is no acknowledgement of any kind. What
// failed is tried again, in order, and nothing behind it is tried before it;
// then the connection is closed, and the client's resend is stored once.
func TestStoreFailsUntilTheConnectionIsClosed(t *testing.T) {
	for name, breakStore := range map[string]func(*fickleStore){"fails": (*fickleStore).fail, "hangs": (*fickleStore).hang} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t, recordFor(300*time.Millisecond))
				who := w.visitor()
				c := w.connect(t, who, version)
				id, all := parley.NewID(parley.PrefixConversation), drafts(10)
				breakStore(w.store)
				c.raw(burst(c.sendTopic(id), all, version))
				c.ping()
				c.expectDisconnect(packets.ErrServerBusy)
				c.expectNone("a PUBACK", isPuback)
				for _, try := range w.store.failedTries() {
					if try[0] != all[0].ID {
						t.Errorf("tried %v before %s", try, all[0].ID)
					}
				}
				if n := len(w.stored(id)); n != 0 {
					t.Errorf("%d entries stored", n)
				}

				w.store.repair()
				c = w.connect(t, who, version)
				c.raw(burst(c.sendTopic(id), all, version))
				for i := range all {
					c.expectAck(uint16(i + 1))
				}
				if diff := cmp.Diff(idsOf(all), w.texts(id)); diff != "" {
					t.Errorf("stored (-sent +stored):\n%s", diff)
				}
			})
		})
	}
}

func TestStoreFailsForAMoment(t *testing.T) {
	w := newWorld(t, recordFor(patience))
	c := w.connect(t, w.visitor(), 5)
	id, other, all := parley.NewID("cnv_"), parley.NewID("cnv_"), drafts(20)
	w.store.fail()
	for i, d := range all {
		c.post([]string{id, other}[i%2], d)
	}
	await(t, func() string {
		if n := len(w.store.failedTries()); n < 3 {
			return fmt.Sprintf("%d tries", n)
		}
		return ""
	})
	c.ping()
	c.expectNone("a PUBACK", isPuback)
	w.store.repair()
	for i := range all {
		if ack := c.expect(packets.Puback); ack.PacketID != uint16(i+1) || ack.ReasonCode != 0 || userProperty(ack, "duplicate") != "" {
			t.Fatalf("acknowledgement %d: %d %#x", i, ack.PacketID, ack.ReasonCode)
		}
	}
	for _, try := range w.store.failedTries() {
		if !slices.Equal(try, []string{all[0].ID}) {
			t.Errorf("tried %v before the first was stored", try)
		}
	}
	if got := len(w.texts(id)) + len(w.texts(other)); got != len(all) {
		t.Errorf("%d stored", got)
	}
}

// A store can be so slow that it takes no batch in time, but takes one after the other:
// each is acknowledged, in order, on a connection that stays.
func TestSlowStoreIsWaitedFor(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t, recordFor(4*time.Second))
		c := w.connect(t, w.visitor(), version)
		id, all := parley.NewID(parley.PrefixConversation), drafts(4)
		opened := draft()
		c.expectAck(c.post(id, opened))
		w.store.decide(func(ctx context.Context, entries []parley.Entry) error {
			select {
			case <-time.After(time.Duration(len(entries)) * 700 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		c.raw(burst(c.sendTopic(id), all, version))
		for i := range all {
			c.expectAck(uint16(i + 1))
		}
		w.store.repair()
		if len(w.store.failedTries()) == 0 {
			t.Error("the store took all at once")
		}
		if diff := cmp.Diff(append([]string{opened.ID}, idsOf(all)...), w.texts(id)); diff != "" {
			t.Errorf("stored (-sent +stored):\n%s", diff)
		}
	})
}

// The outcome of a write can be unknown: it is durable, and the answer says
// that it failed. The next try finds it and is acknowledged as a duplicate.
func TestWriteWhoseAnswerIsLost(t *testing.T) {
	w := newWorld(t)
	c := w.connect(t, w.visitor(), 5)
	id, d := parley.NewID(parley.PrefixConversation), draft()
	w.store.loseAnswers(1)
	ack := c.expectAck(c.post(id, d))
	if userProperty(ack, "duplicate") != "1" {
		t.Errorf("PUBACK %v", ack.Properties.User)
	}
	if n := len(w.texts(id)); n != 1 {
		t.Errorf("stored %d times", n)
	}
}

func TestRefusalThatCannotBeStored(t *testing.T) {
	w := newWorld(t, recordFor(200*time.Millisecond))
	who := w.visitor()
	c := w.connect(t, who, 5)
	w.store.fail()
	c.publish(c.sendTopic("cnv_mine"), []byte("not a draft"))
	c.expectDisconnect(packets.ErrServerBusy)
	c.expectNone("a PUBACK", isPuback)
	w.store.repair()
}

func TestSessionCannotBeOpened(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		who := w.visitor()
		w.store.failConnects(errDisk)
		_, ack := w.try(t, as(who, version))
		if want := map[byte]byte{4: 3, 5: 0x88}[version]; ack.ReasonCode != want {
			t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, want)
		}
		w.store.failConnects(nil)
		w.connect(t, who, version)
	})
}

// smallDisk mounts a file system of size bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatalf("mount a small tmpfs on %s: %v; this test needs root, or: unshare --user --map-root-user --mount go test ./broker", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 16<<20)
	ballast := filepath.Join(disk, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 11<<20), 0o600))
	w := newWorldIn(t, filepath.Join(disk, "data"), recordFor(500*time.Millisecond))
	who := w.visitor()
	id := parley.NewID(parley.PrefixConversation)
	c := w.connect(t, who, 5)
	var acked []string
	var refused parley.Draft
	for refused.ID == "" {
		d := parley.NewText(draft().ID, strings.Repeat("满", 20<<10))
		packet := c.post(id, d)
		if c.acknowledgedOrEnded(packet) {
			acked = append(acked, d.ID)
		} else {
			refused = d
		}
	}
	c.expectDisconnect(packets.ErrServerBusy)
	if diff := cmp.Diff(acked, w.texts(id)); diff != "" {
		t.Errorf("stored (-acknowledged +stored):\n%s", diff)
	}

	must(t, os.Remove(ballast))
	for ended := true; ended; { // the store goes on by itself; the client connects and sends again until then
		c, _ = w.try(t, as(who, 5))
		c.who = who.Identity
		ended = !c.acknowledgedOrEnded(c.post(id, refused))
	}
	if diff := cmp.Diff(append(acked, refused.ID), w.texts(id)); diff != "" {
		t.Errorf("stored (-acknowledged +stored):\n%s", diff)
	}
}

// acknowledgedOrEnded waits for the PUBACK of a publish, which must say
// success, or for the end of the connection.
func (c *client) acknowledgedOrEnded(id uint16) (acknowledged bool) {
	c.t.Helper()
	await(c.t, func() string {
		c.mu.Lock()
		defer c.mu.Unlock()
		acknowledged = slices.ContainsFunc(c.inbox, func(pk packets.Packet) bool { return isPuback(pk) && pk.PacketID == id })
		if !acknowledged && c.ended == nil {
			return "neither acknowledged nor closed"
		}
		return ""
	})
	if acknowledged {
		c.expectAck(id)
	}
	return acknowledged
}
