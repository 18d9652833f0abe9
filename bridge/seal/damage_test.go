package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// tampered is a store somebody has changed the files of.
type tampered struct {
	bridge.Store
	change func(entries []parley.Entry)
}

func (s tampered) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := s.Store.Read(ctx, stream, after, limit)
	if stream.Kind() != "" { // not the data keys
		s.change(entries)
	}
	return entries, err
}

func (s tampered) Amendments(ctx context.Context, stream parley.Stream, from, to, head int64) ([]parley.Entry, error) {
	entries, err := s.Store.Amendments(ctx, stream, from, to, head)
	s.change(entries)
	return entries, err
}

// TestDamage changes what is stored: that entry has no text, the others are read on.
func TestDamage(t *testing.T) {
	dir, keys := t.TempDir(), newKeys(t, false)
	whole, err := openSealed(t.Context(), dir, keys)
	must(t, err)
	edit := message("msg_00003", "")
	edit.Type, edit.Body = parley.EntryEdit, []byte(`{"seq":1,"text":"`+secret+` edited"}`)
	other := parley.Stream(site + "/c/cnv_2/messages")
	elsewhere := parley.Stream("ste_b/c/cnv_1/messages")
	mustAppend(t, whole, other, message("msg_00001", secret))
	mustAppend(t, whole, elsewhere, message("msg_00001", secret))
	mustAppend(t, whole, stream, message("msg_00001", secret+" one"), message("msg_00002", secret+" two"), edit)
	closing(t, whole.(sealed))

	behind, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	must(t, err)
	defer closing(t, behind)
	raw := func(s parley.Stream) []parley.Entry {
		entries, err := behind.Read(t.Context(), s, 0, 10)
		must(t, err)
		return entries
	}
	mine := raw(stream)
	for name, body := range map[string][]byte{
		"of the next entry":            mine[1].Body,
		"of its edit":                  mine[2].Body,
		"of another conversation":      raw(other)[0].Body,
		"of another site":              raw(elsewhere)[0].Body,
		"plain":                        []byte(`{"text":"forged"}`),
		"empty":                        []byte(`{}`),
		"nothing":                      nil,
		"half":                         mine[0].Body[:len(mine[0].Body)/2],
		"no base64":                    []byte(`{"sealed":"!"}`),
		"of another version":           []byte(`{"sealed":"AgEAAA"}`),
		"under a data key that is not": underKey(t, mine[0].Body, 9),
	} {
		t.Run(name, func(t *testing.T) { readDamaged(t, behind, keys, mine, body) })
	}
	t.Run("with a flipped bit", func(t *testing.T) {
		for i := range mine[0].Body {
			body := bytes.Clone(mine[0].Body)
			body[i] ^= 1 << (i % 7)
			readDamaged(t, behind, keys, mine, body)
		}
	})
	t.Run("an edit of another message", func(t *testing.T) {
		s := openTampered(t, behind, keys, nil, func(entries []parley.Entry) {
			for i := range entries {
				entries[i].Body = bytes.Replace(entries[i].Body, []byte(`{"seq":1,`), []byte(`{"seq":2,`), 1)
			}
		})
		edits, err := s.Amendments(t.Context(), stream, 1, 2, 3)
		if err != nil || len(edits) > 0 {
			t.Errorf("edits %+v, %v", edits, err)
		}
	})
}

// underKey makes a ciphertext say that it is under another data key.
func underKey(t *testing.T, body []byte, number byte) []byte {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(string(body[len(`{"sealed":"`) : len(body)-len(`"}`)]))
	must(t, err)
	raw[1] = number
	return fmt.Appendf(nil, `{"sealed":"%s"}`, base64.RawStdEncoding.EncodeToString(raw))
}

func openTampered(t *testing.T, behind bridge.Store, keys seal.Keys, log *bytes.Buffer, change func([]parley.Entry)) *seal.Store {
	t.Helper()
	o := seal.Options{Keys: keys}
	if log != nil {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := seal.Open(t.Context(), tampered{behind, change}, o)
	must(t, err)
	t.Cleanup(func() { closing(t, s) })
	return s
}

// readDamaged reads the stream with that body in its first entry.
func readDamaged(t *testing.T, behind bridge.Store, keys seal.Keys, raw []parley.Entry, body []byte) {
	t.Helper()
	var log bytes.Buffer
	s := openTampered(t, behind, keys, &log, func(entries []parley.Entry) {
		for i := range entries {
			if entries[i].Seq == 1 {
				entries[i].Body = body
			}
		}
	})
	got, err := s.Read(t.Context(), stream, 0, 10)
	must(t, err)
	if len(got) != len(raw) {
		t.Fatalf("%d entries, want %d", len(got), len(raw))
	}
	wire := string(got[0].AppendJSON(nil, "epo_1"))
	if !got[0].Redacted || !strings.Contains(wire, `"body":{}`) || got[0].ID != raw[0].ID {
		t.Errorf("body %q is read as %s", body, wire)
	}
	for i, want := range []string{"", "two", "edited"} {
		if text := string(got[i].Body); !strings.Contains(text, want) || want == "" && text != "" {
			t.Errorf("body %q: entry %d is %q", body, i+1, text)
		}
	}
	if n := s.Stats().Damaged; n != 1 || !strings.Contains(log.String(), fmt.Sprintf("stream=%s seq=1", stream)) {
		t.Errorf("body %q: damaged %d, log %s", body, n, log.String())
	}
}

// brokenKeys is a store somebody has changed the data keys of.
type brokenKeys struct {
	bridge.Store
	body func(was []byte) []byte
}

func (s brokenKeys) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := s.Store.Read(ctx, stream, after, limit)
	for i := range entries {
		entries[i].Body = s.body(entries[i].Body)
	}
	return entries, err
}

// TestDamagedKeys opens a store whose data keys are not what they were: it is not taken
// for one that is plain.
func TestDamagedKeys(t *testing.T) {
	dir, keys := t.TempDir(), newKeys(t, false)
	s, err := openAs(t.Context(), dir, keys)
	must(t, err)
	must(t, s.SealSite(t.Context(), site))
	must(t, s.SealSite(t.Context(), "ste_b"))
	closing(t, s)
	behind, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	must(t, err)
	defer closing(t, behind)
	for name, body := range map[string]func([]byte) []byte{
		"nothing":           func([]byte) []byte { return nil },
		"empty":             func([]byte) []byte { return []byte(`{}`) },
		"half":              func(was []byte) []byte { return was[:len(was)/2] },
		"of another site":   func(was []byte) []byte { return bytes.Replace(was, []byte(site), []byte("ste_c"), 1) },
		"of another number": func(was []byte) []byte { return bytes.Replace(was, []byte(`"number":1`), []byte(`"number":2`), 1) },
		"flipped": func(was []byte) []byte {
			return bytes.Replace(was, []byte(`"wrapped":"`), []byte(`"wrapped":"AAAA`), 1)
		},
	} {
		if s, err := seal.Open(t.Context(), brokenKeys{behind, body}, seal.Options{Keys: keys}); !errors.Is(err, seal.ErrKeys) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				closing(t, s)
			}
		}
	}
}

// TestDamagedRows reads a row of one conversation under the name of another.
func TestDamagedRows(t *testing.T) {
	s, err := openSealed(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	both := s.(sealed)
	defer closing(t, both)
	row := parley.Conversation{Site: site, ID: "cnv_1", Status: parley.StatusQueued, Visitor: "vis_ann", VisitorName: "Ann", LastText: secret, Head: 1, LastSeq: 1, UpdatedAt: 5}
	must(t, s.SaveConversations(t.Context(), []parley.Conversation{row}, 5))
	raw, err := both.behind.Conversation(t.Context(), site, "cnv_1")
	must(t, err)
	raw.ID, raw.AssigneeName = "cnv_2", raw.VisitorName
	must(t, both.behind.SaveConversations(t.Context(), []parley.Conversation{raw}, 5))
	got, err := s.Conversation(t.Context(), site, "cnv_2")
	must(t, err)
	if got.VisitorName+got.AssigneeName+got.LastText != "" || got.Visitor != "vis_ann" {
		t.Errorf("read as %+v", got)
	}
	value := parley.Register{Key: "draft:cnv_1", Value: []byte(`{"text":"` + secret + `"}`), Version: 1}
	must(t, s.SaveRegisters(t.Context(), []bridge.UserRegister{{Site: site, User: "vis_ann", Register: value}}))
	stored, err := both.behind.Registers(t.Context(), site, "vis_ann")
	must(t, err)
	must(t, both.behind.SaveRegisters(t.Context(), []bridge.UserRegister{{Site: site, User: "vis_bob", Register: stored[0]}}))
	moved, err := s.Registers(t.Context(), site, "vis_bob")
	must(t, err)
	equal(t, "a register of somebody else", moved, []parley.Register{{Key: "draft:cnv_1", Value: []byte("null"), Version: 1}})
	if n := both.Stats().Damaged; n != 4 {
		t.Errorf("%d are damaged, want 4", n)
	}
}
