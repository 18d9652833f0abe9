package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// held is a store whose searches wait for release, or for the end of their time.
type held struct {
	*sqlite.Store
	entered chan struct{}
	release chan struct{}
	away    *atomic.Bool // whether it says that it cannot write
}

func (h held) Ready(ctx context.Context) error {
	if h.away.Load() {
		return parley.Errorf(parley.CodeUnavailable, "away")
	}
	return h.Store.Ready(ctx)
}

func (h held) FindDocuments(ctx context.Context, q bridge.DocumentQuery) ([]bridge.Found, error) {
	h.entered <- struct{}{}
	select {
	case <-h.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.Store.FindDocuments(ctx, q)
}

func holding(t *testing.T, limit time.Duration) (held, *bridge.Bridge) {
	store, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h := held{store, make(chan struct{}, 100), make(chan struct{}), new(atomic.Bool)}
	b, err := bridge.New(t.Context(), h, bridge.Options{SearchTime: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.Record(t.Context(), ann, "c1", []parley.Draft{draft(1)}); err != nil {
		t.Fatal(err)
	}
	return h, b
}

func TestSearchesAtOnce(t *testing.T) {
	h, b := holding(t, time.Minute)
	var wg sync.WaitGroup
	for range bridge.SearchesAtOnce {
		wg.Go(func() {
			if page, err := b.Search(t.Context(), ann, looking("text")); err != nil || len(page.Hits) != 1 {
				t.Errorf("%+v, %v", page, err)
			}
		})
		<-h.entered
	}
	_, err := b.Search(t.Context(), ann, looking("text"))
	expectCode(t, err, parley.CodeRateLimited)
	if e := parley.ErrorOf(err); e.RetryAfter <= 0 {
		t.Errorf("it does not say when to come back: %+v", e)
	}
	close(h.release)
	wg.Wait()
	if page, err := b.Search(t.Context(), ann, looking("text")); err != nil || len(page.Hits) != 1 {
		t.Errorf("after that: %+v, %v", page, err)
	}
	if s := b.Stats(); s.Searches != bridge.SearchesAtOnce+1 || s.SearchesLimited != 1 || s.SearchesPartial != 0 {
		t.Errorf("%+v", s)
	}
}

// Many users together get as much as the machine has room for; all are answered.
func TestSearchesOfMany(t *testing.T) {
	h, b := holding(t, time.Second)
	var wg sync.WaitGroup
	codes := make(chan parley.Code, 100)
	for n := range cap(codes) {
		wg.Go(func() {
			who := boss
			who.User = fmt.Sprintf("agt_%d", n)
			page, err := b.Search(t.Context(), who, looking("text"))
			switch {
			case err != nil:
				codes <- parley.ErrorOf(err).Code
			case !page.Partial || page.Next == "":
				codes <- "a page that is not partial"
			default:
				codes <- ""
			}
		})
	}
	wg.Wait()
	close(codes)
	count := map[parley.Code]int{}
	for code := range codes {
		count[code]++
	}
	if len(h.entered) > 20 || count[""] == 0 || count[""]+count[parley.CodeRateLimited] != 100 {
		t.Errorf("%d have searched, answers %v", len(h.entered), count)
	}
}

// A search whose time is up goes on where it ended, and does not tell where that
// was if that is in a conversation of others.
func TestSearchIsCutOff(t *testing.T) {
	h, b := holding(t, time.Second)
	page, err := b.Search(t.Context(), ann, looking("text"))
	if err != nil || !page.Partial || page.Next == "" || len(page.Hits) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	close(h.release)
	page, err = b.Search(t.Context(), ann, parley.SearchRequest{Text: "text", Cursor: page.Next})
	if err != nil || page.Partial || page.Next != "" || len(page.Hits) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Search(ctx, ann, looking("text")); err == nil {
		t.Error("nobody waits for a search, and it is answered")
	}
}

// A search that came across nothing, because the store is away, says so.
func TestSearchWhileTheStoreIsAway(t *testing.T) {
	h, b := holding(t, 100*time.Millisecond)
	h.away.Store(true)
	_, err := b.Search(t.Context(), ann, looking("text"))
	expectCode(t, err, parley.CodeUnavailable)
	h.away.Store(false)
	close(h.release)
	if page, err := b.Search(t.Context(), ann, looking("text")); err != nil || len(page.Hits) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
}

// What somebody loses the right to read while the search runs is not shown, though
// it was found before.
func TestSearchDropsWhatIsLostMeanwhile(t *testing.T) {
	h, b := holding(t, time.Minute)
	w := &world{T: t, bridge: b}
	w.say(bob, "c2", text("00001", "text of Bob"))
	w.claim(hanmm, "c2")
	w.say(bob, "c2", text("00002", "more text of Bob"))
	w.say(ann, "c1", text("00002", "more text of Ann"))
	found := make(chan parley.SearchPage, 1)
	go func() {
		page, err := b.Search(t.Context(), lilei, parley.SearchRequest{Text: "text", Limit: 2})
		if err != nil {
			t.Error(err)
		}
		found <- page
	}()
	<-h.entered
	h.release <- struct{}{}
	<-h.entered // one of Ann's is found, one of Bob's is not for Li Lei
	w.claim(hanmm, "c1")
	h.release <- struct{}{}
	if page := <-found; len(page.Hits) != 0 {
		t.Errorf("%+v", page)
	}
}
