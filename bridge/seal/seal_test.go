package seal_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// keyFile is where the child of a crash test finds its master key, beside the store.
const keyFile = "key"

func TestMain(m *testing.M) {
	storetest.ChildMain(func(ctx context.Context, dir string) (bridge.Store, error) {
		line, err := os.ReadFile(filepath.Join(dir, keyFile))
		if err != nil {
			return nil, err
		}
		keys, err := seal.ParseKeys(string(line))
		if err != nil {
			return nil, err
		}
		return openSealed(ctx, filepath.Join(dir, "store"), keys)
	})
	goleak.VerifyTestMain(m)
}

// sealed is a sealed store in front of one that is closed with it.
type sealed struct {
	*seal.Store
	behind *sqlite.Store
}

func (s sealed) Close() error { return errors.Join(s.Store.Close(), s.behind.Close()) }

// openSealed opens an embedded store all of whose sites are sealed.
func openSealed(ctx context.Context, dir string, keys seal.Keys) (bridge.Store, error) {
	s, err := openAs(ctx, dir, keys)
	if err != nil {
		return nil, err
	}
	if err := s.SealNewSites(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openAs(ctx context.Context, dir string, keys seal.Keys) (sealed, error) {
	behind, err := sqlite.Open(ctx, sqlite.Options{Dir: dir})
	if err != nil {
		return sealed{}, err
	}
	s, err := seal.Open(ctx, behind, seal.Options{Keys: keys})
	if err != nil {
		return sealed{}, errors.Join(err, behind.Close())
	}
	return sealed{s, behind}, nil
}

func newKeys(t testing.TB, renew bool) seal.Keys {
	t.Helper()
	keys, err := seal.NewKeys(seal.NewMasterKey(time.Now(), renew))
	must(t, err)
	return keys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opener opens sealed stores with the same key.
func opener(t *testing.T) storetest.Open {
	keys := newKeys(t, false)
	return func(t *testing.T, dir string) bridge.Store {
		t.Helper()
		s, err := openSealed(t.Context(), dir, keys)
		must(t, err)
		return s
	}
}

func TestContract(t *testing.T) { storetest.Run(t, opener(t)) }

func TestSearchCorpus(t *testing.T) { storetest.SearchCorpus(t, opener(t), 2000) }

func TestCrash(t *testing.T) {
	keys := seal.NewMasterKey(time.Now(), false)
	parsed, err := seal.NewKeys(keys)
	must(t, err)
	storetest.Crash(t, func(t *testing.T, dir string) bridge.Store {
		s, err := openSealed(t.Context(), filepath.Join(dir, "store"), parsed)
		must(t, err)
		return s
	}, func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, keyFile), []byte(keys.Line()), 0o600))
	})
}

const (
	site   = "ste_a"
	stream = parley.Stream(site + "/c/cnv_1/messages")
	secret = "CANARY-7f3a"
)

func message(id, text string) parley.Entry {
	d := parley.NewText(id, text)
	return parley.Entry{
		ID: id, Sender: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Type: d.Type, Body: d.Body, Digest: []byte("0123456789abcdef"),
	}
}

func mustAppend(t testing.TB, s bridge.Store, to parley.Stream, entries ...parley.Entry) []parley.Entry {
	t.Helper()
	answers, err := s.Append(t.Context(), to, entries, parley.ExpectAny)
	must(t, err)
	var stored []parley.Entry
	for _, a := range answers {
		must(t, a.Err)
		stored = append(stored, a.Entry)
	}
	return stored
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func closing(t testing.TB, c io.Closer) {
	t.Helper()
	must(t, c.Close())
}

// TestKeysThatAreMissing opens a sealed store without its key, with another one and with
// one that only has the same id.
func TestKeysThatAreMissing(t *testing.T) {
	dir, right := t.TempDir(), newKeys(t, false)
	s, err := openAs(t.Context(), dir, right)
	must(t, err)
	must(t, s.SealSite(t.Context(), site))
	mustAppend(t, s, stream, message("msg_00001", secret))
	closing(t, s)
	id := right.Newest().ID()
	other := newKeys(t, false)
	liar, err := seal.ParseKeys(id + " " + strings.Fields(other.Newest().Line())[1])
	must(t, err)
	for name, c := range map[string]struct {
		keys seal.Keys
		says string
	}{
		"none":        {seal.Keys{}, "the site ste_a needs the master key " + id + "; none is given"},
		"another":     {other, "the site ste_a needs the master key " + id + "; given are " + other.String()},
		"other bytes": {liar, "the master key " + id + " is not the one that seals the site ste_a"},
	} {
		if _, err := openAs(t.Context(), dir, c.keys); !errors.Is(err, seal.ErrKeys) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	more, err := other.With(right.Newest())
	must(t, err)
	s, err = openAs(t.Context(), dir, more)
	must(t, err)
	defer closing(t, s)
	entries, err := s.Read(t.Context(), stream, 0, 10)
	must(t, err)
	if len(entries) != 1 || !strings.Contains(string(entries[0].Body), secret) {
		t.Errorf("with the right key among them it reads %+v", entries)
	}
}

// TestSealLater seals a site that has entries: they stay readable, and a repeat of one is
// one.
func TestSealLater(t *testing.T) {
	dir, keys := t.TempDir(), newKeys(t, false)
	s, err := openAs(t.Context(), dir, keys)
	must(t, err)
	defer func() { closing(t, s) }()
	before := mustAppend(t, s, stream, message("msg_00001", "before"))
	row := parley.Conversation{Site: site, ID: "cnv_1", Status: parley.StatusQueued, VisitorName: secret, LastText: secret, Head: 1, LastSeq: 1, UpdatedAt: 5}
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, 5))
	must(t, s.SaveDocuments(t.Context(), nil, 5))
	must(t, s.SealSite(t.Context(), site))
	must(t, s.SealSite(t.Context(), site))
	after := mustAppend(t, s, stream, message("msg_00002", secret))
	all, err := s.Read(t.Context(), stream, 0, 10)
	must(t, err)
	equal(t, "entries", all, append(before, after...))
	for i, e := range []parley.Entry{message("msg_00001", "before"), message("msg_00002", secret)} {
		answers, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		equal(t, "repeat", answers[0], parley.Appended{Entry: all[i], Duplicate: true})
		e.Digest = []byte("fedcba9876543210")
		answers, err = s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
		must(t, err)
		if answers[0].Err == nil || parley.ErrorOf(answers[0].Err).Code != parley.CodeConflict {
			t.Errorf("other content is answered with %+v", answers[0])
		}
	}
	raw, err := s.behind.Conversation(t.Context(), site, "cnv_1")
	must(t, err)
	if strings.Contains(raw.VisitorName+raw.LastText, secret) {
		t.Errorf("the row stays as it was: %+v", raw)
	}
	got, err := s.Conversation(t.Context(), site, "cnv_1")
	must(t, err)
	equal(t, "row", got.VisitorName+got.LastText, row.VisitorName+row.LastText)
	if position, err := s.IndexedTo(t.Context()); position != 0 || err != nil {
		t.Errorf("the index is at %d, %v: it is not filled again", position, err)
	}
	counts, err := seal.CountEntries(t.Context(), s.behind)
	must(t, err)
	equal(t, "counts", counts[site], seal.Count{Sealed: 1, Plain: 1})
}

// TestDigestsTellNothing looks for what two entries with the same text have in common
// behind the seal.
func TestDigestsTellNothing(t *testing.T) {
	s, err := openSealed(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	behind := s.(sealed)
	defer closing(t, behind)
	mustAppend(t, s, stream, message("msg_00001", "yes"), message("msg_00002", "yes"))
	raw, err := behind.behind.Read(t.Context(), stream, 0, 10)
	must(t, err)
	for i, e := range raw {
		if string(e.Digest) == "0123456789abcdef" || i > 0 && string(e.Digest) == string(raw[0].Digest) {
			t.Errorf("entry %d: digest %x", i, e.Digest)
		}
	}
}

// TestRegistersAreSealed writes a draft.
func TestRegistersAreSealed(t *testing.T) {
	s, err := openSealed(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	behind := s.(sealed)
	defer closing(t, behind)
	rows := []bridge.UserRegister{
		{Site: site, User: "vis_ann", Register: parley.Register{Key: "draft:cnv_1", Value: []byte(`{"sealed":"` + secret + `"}`), Version: 1}},
		{Site: site, User: "vis_ann", Register: parley.Register{Key: "mute:cnv_1", Value: []byte("null"), Version: 2}},
	}
	must(t, s.SaveRegisters(t.Context(), rows))
	raw, err := behind.behind.Registers(t.Context(), site, "vis_ann")
	must(t, err)
	for _, r := range raw {
		if strings.Contains(string(r.Value), secret) {
			t.Errorf("%s is plain", r.Key)
		}
	}
	got, err := s.Registers(t.Context(), site, "vis_ann")
	must(t, err)
	byKey := cmpopts.SortSlices(func(a, b parley.Register) bool { return a.Key < b.Key })
	if d := cmp.Diff([]parley.Register{rows[0].Register, rows[1].Register}, got, byKey); d != "" {
		t.Errorf("registers (-want +got):\n%s", d)
	}
}

// TestTwoBeginAtOnce writes for a new site from many goroutines.
func TestTwoBeginAtOnce(t *testing.T) {
	s, err := openSealed(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	defer closing(t, s.(sealed))
	var writers sync.WaitGroup
	for n := range 20 {
		writers.Go(func() {
			e := message("msg_00001", secret)
			e.Sender = string(rune('a' + n))
			if _, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	sites, every := s.(sealed).Status()
	if !every || len(sites) != 1 || len(sites[0].Keys) != 1 {
		t.Errorf("status: %+v, %v", sites, every)
	}
}
