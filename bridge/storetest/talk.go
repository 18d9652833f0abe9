package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Talk is people writing to a store while something else is tried on it.
type Talk struct {
	store bridge.Store
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu    sync.Mutex
	acked map[parley.Stream]int64
	count int
}

// StartTalk begins to append about that many messages a second to conversations
// cnv_talk0 … of ste_talk; every twentieth is deleted again. Stop ends it.
func StartTalk(t testing.TB, s bridge.Store, perSecond, conversations int) *Talk {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &Talk{store: s, stop: cancel, acked: map[parley.Stream]int64{}}
	const writers = 4
	for w := range writers {
		k.done.Go(func() {
			every := time.NewTicker(time.Second * writers / time.Duration(perSecond))
			defer every.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				if err := k.say(ctx, w, n, conversations); err != nil && ctx.Err() == nil {
					t.Errorf("talk: %v", err)
					return
				}
				select {
				case <-every.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return k
}

func (k *Talk) say(ctx context.Context, w, n, conversations int) error {
	stream := parley.MessagesOf("ste_talk", fmt.Sprintf("cnv_talk%d", (n*31+w*7)%conversations))
	e := parley.Entry{
		ID: fmt.Sprintf("msg_%d_%06d", w, n), Sender: fmt.Sprintf("vis_talk%d", w), Device: "dev_1", Role: parley.RoleVisitor,
		Type: parley.EntryText, Body: fmt.Appendf(nil, `{"text":"number %d of %d"}`, n, w), Digest: []byte("digest"),
	}
	answers, err := k.store.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny)
	if err != nil {
		return err
	}
	k.note(stream, answers[0].Entry.Seq)
	if n%20 != 19 {
		return nil
	}
	e.ID, e.Type, e.Body = fmt.Sprintf("del_%d_%06d", w, n), parley.EntryDelete, fmt.Appendf(nil, `{"seq":%d}`, answers[0].Entry.Seq)
	answers, err = k.store.Append(ctx, stream, []parley.Entry{e}, parley.ExpectAny)
	if err == nil {
		k.note(stream, answers[0].Entry.Seq)
	}
	return err
}

func (k *Talk) note(stream parley.Stream, seq int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acked[stream] = max(k.acked[stream], seq)
	k.count++
}

// Acked returns how far each stream was acknowledged, and how many entries in all.
func (k *Talk) Acked() (map[parley.Stream]int64, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	heads := map[parley.Stream]int64{}
	for stream, seq := range k.acked {
		heads[stream] = seq
	}
	return heads, k.count
}

// AwaitAcked waits until that many entries are acknowledged.
func (k *Talk) AwaitAcked(t testing.TB, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, count := k.Acked(); count >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody talks: fewer than %d entries", n)
		}
	}
}

// Stop ends the talk.
func (k *Talk) Stop() {
	k.stop()
	k.done.Wait()
}
