package seal_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
)

// await polls until problem is empty.
func await(t testing.TB, problem func() string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p := problem()
		if p == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(p)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// masters returns which master keys wrap the data keys of a store.
func masters(s *seal.Store) (ids []string) {
	sites, _ := s.Status()
	for _, is := range sites {
		for _, k := range is.Keys {
			ids = append(ids, k.Masters...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// awaitRotated waits until only the newest master key wraps anything.
func awaitRotated(t testing.TB, s *seal.Store) {
	t.Helper()
	await(t, func() string {
		if ids := masters(s); !slices.Equal(ids, []string{s.Keys().Newest().ID()}) {
			return fmt.Sprintf("wrapped with %v, the newest is %s", ids, s.Keys().Newest())
		}
		return ""
	})
}

// TestRotateWhileWriting changes the master key again and again while 200 messages a
// second are recorded: none is refused, and the newest key alone reads them all.
func TestRotateWhileWriting(t *testing.T) {
	dir, keys := t.TempDir(), newKeys(t, false)
	opened, err := openSealed(t.Context(), dir, keys)
	must(t, err)
	s := opened.(sealed)
	b, err := bridge.New(t.Context(), s, bridge.Options{NewConversations: 1000})
	must(t, err)
	ann := parley.Identity{Site: site, User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor}
	ctx, stop := context.WithCancel(t.Context())
	var sent atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond) // 200 a second
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			answers, err := b.Record(t.Context(), ann, "cnv_1", []parley.Draft{parley.NewText(fmt.Sprintf("msg_%05d", n), fmt.Sprintf("text %d", n))})
			if err != nil || answers[0].Err != nil {
				t.Errorf("message %d: %v, %+v", n, err, answers)
				return
			}
			sent.Add(1)
			<-tick.C
		}
	})
	for n := range 8 {
		keys, err = keys.With(seal.NewMasterKey(time.Now(), n%2 == 1))
		must(t, err)
		must(t, s.Use(keys))
		awaitRotated(t, s.Store)
		await(t, func() string { // and goes on for a while with what there is
			if sent.Load() < int64(n+1)*50 {
				return fmt.Sprintf("%d messages are sent", sent.Load())
			}
			return ""
		})
	}
	stop()
	writer.Wait()
	must(t, b.Close())
	sites, _ := s.Status()
	if len(sites) != 1 || len(sites[0].Keys) != 5 {
		t.Errorf("data keys: %+v; want the first and four new ones", sites)
	}
	closing(t, s)
	last, err := seal.NewKeys(keys.Newest())
	must(t, err)
	again, err := openAs(t.Context(), dir, last)
	must(t, err)
	defer closing(t, again)
	found := 0
	for after := int64(0); ; {
		page, err := again.Read(t.Context(), stream, after, 500)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Type == parley.EntryText {
				if want := parley.NewText("", fmt.Sprintf("text %d", found)); string(e.Body) != string(want.Body) {
					t.Fatalf("message %d is %s", found, e.Body)
				}
				found++
			}
			after = e.Seq
		}
	}
	if int64(found) != sent.Load() {
		t.Errorf("%d messages, %d were acknowledged", found, sent.Load())
	}
}

// failing is a store whose appends to the stream of keys fail, or whose cuts.
type failing struct {
	bridge.Store
	appends, cuts int
}

var errAway = errors.New("the disk is away")

func (f *failing) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	if f.appends > 0 && stream.Kind() == "" {
		f.appends--
		return nil, errAway
	}
	return f.Store.Append(ctx, stream, entries, expect)
}

func (f *failing) Cut(ctx context.Context, stream parley.Stream, first int64) (int64, error) {
	if f.cuts > 0 {
		f.cuts--
		return 0, errAway
	}
	return f.Store.Cut(ctx, stream, first)
}

// TestRotationGoesOn breaks a rotation off where it can be, and starts with what is there.
func TestRotationGoesOn(t *testing.T) {
	for name, f := range map[string]*failing{"before it is written": {appends: 1}, "before it is forgotten": {cuts: 1}} {
		t.Run(name, func(t *testing.T) {
			dir, old := t.TempDir(), newKeys(t, false)
			opened, err := openSealed(t.Context(), dir, old)
			must(t, err)
			mustAppend(t, opened, stream, message("msg_00001", secret))
			behind := opened.(sealed)
			must(t, behind.Store.Close())
			f.Store = behind.behind
			s, err := seal.Open(t.Context(), f, seal.Options{Keys: old})
			must(t, err)
			must(t, s.Rotate(t.Context())) // nothing to do
			keys, err := old.With(seal.NewMasterKey(time.Now(), false))
			must(t, err)
			must(t, s.Use(keys))
			await(t, func() string { // either this or the one in the background meets the failure
				if err := s.Rotate(t.Context()); err != nil {
					return err.Error()
				}
				return ""
			})
			awaitRotated(t, s)
			must(t, s.Close())
			closing(t, behind.behind)
			for _, c := range []struct {
				keys seal.Keys
				ok   bool
			}{{keys, true}, {old, false}} {
				again, err := openAs(t.Context(), dir, c.keys)
				if (err == nil) != c.ok {
					t.Fatalf("with %s: %v", c.keys, err)
				}
				if err != nil {
					continue
				}
				entries, err := again.Read(t.Context(), stream, 0, 1)
				must(t, err)
				if !strings.Contains(string(entries[0].Body), secret) {
					t.Errorf("read as %s", entries[0].Body)
				}
				closing(t, again)
			}
		})
	}
}

// TestRotateBack puts an older master key in front again.
func TestRotateBack(t *testing.T) {
	dir, a := filepath.Join(t.TempDir(), "store"), seal.NewMasterKey(time.Now(), false)
	b := seal.NewMasterKey(time.Now(), false)
	one, err := seal.NewKeys(a, b)
	must(t, err)
	two, err := seal.NewKeys(b, a)
	must(t, err)
	opened, err := openSealed(t.Context(), dir, one)
	must(t, err)
	s := opened.(sealed)
	mustAppend(t, s, stream, message("msg_00001", secret))
	for _, keys := range []seal.Keys{two, one, two, one} {
		must(t, s.Use(keys))
		awaitRotated(t, s.Store)
	}
	closing(t, s)
	only, err := seal.NewKeys(a)
	must(t, err)
	s, err = openAs(t.Context(), dir, only)
	must(t, err)
	closing(t, s)
}

// TestUseRefuses takes no keys away.
func TestUseRefuses(t *testing.T) {
	keys := newKeys(t, false)
	opened, err := openSealed(t.Context(), t.TempDir(), keys)
	must(t, err)
	s := opened.(sealed)
	defer closing(t, s)
	other := newKeys(t, false)
	liar, err := seal.ParseKeys(keys.Newest().ID() + " " + strings.Fields(other.Newest().Line())[1])
	must(t, err)
	for _, bad := range []seal.Keys{{}, liar} {
		if err := s.Use(bad); !errors.Is(err, seal.ErrKeys) {
			t.Errorf("it takes %q: %v", bad, err)
		}
	}
	if s.Keys().String() != keys.String() {
		t.Errorf("the keys are %s now", s.Keys())
	}
}
