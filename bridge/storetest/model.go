package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Model is a store of one stream that is obviously right.
type Model struct {
	Entries []parley.Entry
	First   int64
}

func (m *Model) append(s parley.Stream, entries []parley.Entry, expect int64) []parley.Appended {
	stale := slices.ContainsFunc(m.Entries, func(e parley.Entry) bool {
		own := slices.ContainsFunc(entries, func(o parley.Entry) bool { return same(o, e) && bytes.Equal(o.Digest, e.Digest) })
		return e.Type.Control() && e.Seq > expect && !own
	})
	var answers []parley.Appended
	for _, e := range entries {
		answers = append(answers, m.one(s, e, expect >= 0 && stale))
	}
	return answers
}

func (m *Model) one(s parley.Stream, e parley.Entry, stale bool) parley.Appended {
	if i := slices.IndexFunc(m.Entries, func(o parley.Entry) bool { return same(o, e) }); i >= 0 {
		if !bytes.Equal(m.Entries[i].Digest, e.Digest) {
			return parley.Appended{Err: parley.Errorf(parley.CodeConflict, "")}
		}
		return parley.Appended{Entry: m.Entries[i], Duplicate: true}
	}
	if stale {
		return parley.Appended{Err: parley.ErrStale}
	}
	target := m.target(e)
	if target != nil && target.Redacted {
		return parley.Appended{Err: parley.ErrDeleted(e.Type)}
	}
	e.Stream, e.Seq, e.Count = s, int64(len(m.Entries)+1), m.count()
	if e.Type.Message() {
		e.Count++
	}
	if target != nil && e.Type == parley.EntryDelete {
		m.delete(target.Seq)
	}
	m.Entries = append(m.Entries, e)
	return parley.Appended{Entry: e}
}

// target returns the message that e is about, nil if there is none.
func (m *Model) target(e parley.Entry) *parley.Entry {
	seq, ok := e.Target()
	if !ok || seq > int64(len(m.Entries)) || !m.Entries[seq-1].Type.Message() {
		return nil
	}
	return &m.Entries[seq-1]
}

func (m *Model) delete(seq int64) {
	for i, e := range m.Entries {
		if of, ok := e.Target(); e.Seq == seq || ok && of == seq && e.Type == parley.EntryEdit {
			m.Entries[i] = e.Redact()
		}
	}
}

func (m *Model) count() int64 {
	if len(m.Entries) == 0 {
		return 0
	}
	return m.Entries[len(m.Entries)-1].Count
}

func same(a, b parley.Entry) bool { return a.Sender == b.Sender && a.ID == b.ID }

// testModel runs random calls on the store and on the model.
func (s suite) testModel(t *testing.T) {
	st := s.store(t)
	streams := 0
	rapid.Check(t, func(rt *rapid.T) {
		streams++
		name, m := streamN(streams), &Model{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { StepAppend(rt, st, m, name) },
			"read":   func(rt *rapid.T) { StepRead(rt, st, m, name) },
			"cut":    func(rt *rapid.T) { StepCut(rt, st, m, name) },
		})
	})
}

// ignoreTime leaves out what the model does not know.
func ignoreTime() cmp.Options {
	return cmp.Options{cmpopts.IgnoreFields(parley.Entry{}, "At"), cmpopts.EquateEmpty(), cmp.Comparer(sameError)}
}

func sameError(a, b error) bool {
	var x, y *parley.Error
	if errors.As(a, &x) && errors.As(b, &y) {
		return x.Code == y.Code
	}
	return errors.Is(a, b)
}

// StepAppend appends random entries to the store and to the model, and fails rt
// where they answer differently.
func StepAppend(rt *rapid.T, st bridge.Store, m *Model, name parley.Stream) {
	entry := rapid.Custom(func(rt *rapid.T) parley.Entry {
		sender := rapid.SampledFrom([]string{"vis_a", "agt_a"}).Draw(rt, "sender")
		id := fmt.Sprintf("msg_%04d", rapid.IntRange(0, 30).Draw(rt, "id"))
		switch rapid.IntRange(0, 6).Draw(rt, "kind") {
		case 0:
			return control(sender, id, rapid.SampledFrom(parley.ControlTypes()).Draw(rt, "type"))
		case 1, 2:
			return edit(sender, id, rapid.Int64Range(1, int64(len(m.Entries))+3).Draw(rt, "target"), "better")
		case 3:
			return deletion(sender, id, rapid.Int64Range(1, int64(len(m.Entries))+3).Draw(rt, "target"))
		}
		return text(sender, id, rapid.SampledFrom([]string{"hello", "你好"}).Draw(rt, "text"))
	})
	entries := rapid.SliceOfN(entry, 1, 4).Draw(rt, "entries")
	expect := rapid.Int64Range(-1, int64(len(m.Entries))+1).Draw(rt, "expect")
	got, err := st.Append(context.Background(), name, entries, expect)
	if err != nil {
		rt.Fatalf("append: %v", err)
	}
	if d := cmp.Diff(m.append(name, entries, expect), got, ignoreTime()); d != "" {
		rt.Fatalf("append (-model +store):\n%s", d)
	}
}

// StepRead reads a random part of the store and of the model, and fails rt where
// they differ.
func StepRead(rt *rapid.T, st bridge.Store, m *Model, name parley.Stream) {
	position := rapid.IntRange(0, len(m.Entries)+2).Draw(rt, "position")
	limit := rapid.IntRange(1, 6).Draw(rt, "limit")
	after, err := st.Read(context.Background(), name, int64(position), limit)
	if err != nil {
		rt.Fatalf("read: %v", err)
	}
	rest := m.Entries[min(position, len(m.Entries)):]
	if d := cmp.Diff(rest[:min(limit, len(rest))], after, ignoreTime()); d != "" {
		rt.Fatalf("read after %d (-model +store):\n%s", position, d)
	}
	before, err := st.ReadBefore(context.Background(), name, int64(position), limit)
	if err != nil {
		rt.Fatalf("read before: %v", err)
	}
	start := m.Entries[:min(max(position-1, 0), len(m.Entries))]
	if d := cmp.Diff(start[max(0, len(start)-limit):], before, ignoreTime()); d != "" {
		rt.Fatalf("read before %d (-model +store):\n%s", position, d)
	}
	stepAmendments(rt, st, m, name)
	want := parley.Head{Epoch: st.Epoch(), Seq: int64(len(m.Entries)), Count: m.count(), First: m.First}
	for _, e := range m.Entries {
		if e.Type.Control() {
			want.Control = e.Seq
		}
	}
	head, err := st.Head(context.Background(), name)
	if err != nil || head != want {
		rt.Fatalf("head %+v, %v; want %+v", head, err, want)
	}
}
