package bridge_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func setting(n int, key, value string, basedOn int64) parley.SetDraft {
	return parley.SetDraft{ID: fmt.Sprintf("set_%05d", n), Key: key, Value: []byte(value), BasedOn: basedOn}
}

// set sets a register and returns the answer.
func (w *world) set(who parley.Identity, d parley.SetDraft) parley.Appended {
	w.Helper()
	a, err := w.bridge.Set(w.Context(), who, d)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) registers(who parley.Identity) map[string]parley.Register {
	w.Helper()
	all, _, err := w.bridge.Registers(w.Context(), who)
	if err != nil {
		w.Fatal(err)
	}
	byKey := map[string]parley.Register{}
	for _, r := range all {
		if string(r.Value) != "null" {
			byKey[r.Key] = r
		}
	}
	return byKey
}

// Devices that set, empty and send again, based on what they know or once knew,
// in any order and over restarts: only what is based on the present version
// counts, exactly once, and all see the same.
func TestRegistersAreVersioned(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		want := map[string]parley.Register{}
		versions := map[string]int64{} // of empty ones, too
		done := map[string]int64{}     // versions by id
		var sent []parley.SetDraft
		for n := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"set", "set", "set", "again", "restart", "mark"}).Draw(rt, "step") {
			case "set":
				key := rapid.SampledFrom([]string{"tabs", "draft:c1", "draft:c2"}).Draw(rt, "key")
				value := rapid.SampledFrom([]string{`null`, `"a"`, `{"text":"b"}`}).Draw(rt, "value")
				based := versions[key]
				if stale := rapid.Int64Range(-2, 0).Draw(rt, "behind"); based+stale >= 0 {
					based += stale
				}
				d := setting(n, key, value, based)
				sent = append(sent, d)
				a := w.set(ann, d)
				if based != versions[key] {
					e := parley.ErrorOf(a.Err)
					if e == nil || e.Code != parley.CodeStale || e.ID != d.ID || e.Current == nil || e.Current.Version != versions[key] {
						rt.Fatalf("%+v is answered with %+v, %v", d, e, e.Current)
					}
					continue
				}
				if a.Err != nil || a.Duplicate {
					rt.Fatalf("%+v is answered with %+v", d, a)
				}
				versions[key], done[d.ID] = a.Entry.Seq, a.Entry.Seq
				want[key] = parley.Register{Key: key, Value: d.Value, Version: a.Entry.Seq}
				if value == "null" {
					delete(want, key)
				}
			case "again":
				if len(sent) == 0 {
					continue
				}
				d := rapid.SampledFrom(sent).Draw(rt, "repeat")
				a := w.set(ann, d)
				if version, ok := done[d.ID]; ok != (a.Err == nil) || ok && (!a.Duplicate || a.Entry.Seq != version) {
					rt.Fatalf("the repeat of %+v, stored at %d, is answered with %+v", d, version, a)
				}
			case "restart":
				w.close()
				w.open()
			case "mark":
				w.say(ann, "c1", draft(n))
				w.mark(ann, "c1", 1, 1)
			}
			if diff := cmp.Diff(want, w.registers(ann)); diff != "" {
				rt.Fatalf("after step %d (-want +got):\n%s", n, diff)
			}
		}
		w.close()
	})
}

// Of many who set the same register at once, based on the same version, one wins.
func TestRegisterHasOneWinner(t *testing.T) {
	w := newWorld(t)
	for round := range 20 {
		based := w.registers(ann)["tabs"].Version
		var all sync.WaitGroup
		answers := make([]parley.Appended, 16)
		for i := range answers {
			all.Go(func() {
				answers[i] = w.set(ann, setting(round*100+i, "tabs", fmt.Sprint(i), based))
			})
		}
		all.Wait()
		won := 0
		for _, a := range answers {
			if a.Err == nil {
				won++
			} else if e := parley.ErrorOf(a.Err); e.Code != parley.CodeStale || e.Current.Version <= based {
				t.Errorf("a loser is told %v", a.Err)
			}
		}
		if won != 1 {
			t.Fatalf("%d have won", won)
		}
	}
}

func TestRegistersAreOnesOwn(t *testing.T) {
	w := newWorld(t)
	w.set(ann, setting(1, "tabs", `"mine"`, 0))
	other := ann
	other.Site = "s2"
	for _, who := range []parley.Identity{bob, other} {
		if got := w.registers(who); len(got) != 0 {
			t.Errorf("%s of %s sees %v", who.User, who.Site, got)
		}
		if a := w.set(who, setting(1, "tabs", `"other"`, 0)); a.Err != nil || a.Duplicate {
			t.Errorf("answered with %+v", a)
		}
	}
	if got := w.registers(ann); string(got["tabs"].Value) != `"mine"` {
		t.Errorf("changed to %v", got)
	}
}

// The same id with another value is a conflict; the first one stands.
func TestRegisterConflict(t *testing.T) {
	w := newWorld(t)
	first := w.set(ann, setting(1, "tabs", `1`, 0))
	a := w.set(ann, setting(1, "tabs", `2`, first.Entry.Seq))
	expectCode(t, a.Err, parley.CodeConflict)
	if got := w.registers(ann)["tabs"]; string(got.Value) != `1` {
		t.Errorf("now %s", got.Value)
	}
}

// Emptied registers do not count for ever, filled ones are bounded.
func TestRegistersAreBounded(t *testing.T) {
	w := newWorld(t)
	n := 0
	put := func(key, value string, basedOn int64) parley.Appended {
		n++
		return w.set(ann, setting(n, key, value, basedOn))
	}
	for i := range 3 * bridge.EmptyRegisters {
		key := fmt.Sprintf("draft:e%d", i)
		put(key, `null`, put(key, `1`, 0).Entry.Seq)
	}
	w.close() // writes them
	w.open()
	stored, err := w.store.Registers(t.Context(), site, ann.User)
	if err != nil || len(stored) != bridge.EmptyRegisters {
		t.Errorf("%d empty registers are kept, %v", len(stored), err)
	}
	if a := put("draft:e0", `1`, 0); a.Err != nil { // as one that was never set
		t.Errorf("answered with %+v", a)
	}
	rows := make([]bridge.UserRegister, parley.MaxRegisters-2)
	for i := range rows {
		rows[i] = bridge.UserRegister{Site: site, User: bob.User, Register: parley.Register{Key: fmt.Sprintf("pin:c%d", i), Value: []byte("true"), Version: 1}}
	}
	if err := w.store.SaveRegisters(t.Context(), rows); err != nil { // quicker than setting them
		t.Fatal(err)
	}
	for i, want := range []parley.Code{"", "", parley.CodeTooLarge} {
		a := w.set(bob, setting(90_000+i, fmt.Sprintf("mute:c%d", i), `true`, 0))
		if e := parley.ErrorOf(a.Err); want == "" && e != nil || want != "" && (e == nil || e.Code != want) {
			t.Errorf("one more: %v", a.Err)
		}
	}
	if a := w.set(bob, setting(90_010, "pin:c1", `false`, 1)); a.Err != nil {
		t.Errorf("one that is there: %v", a.Err)
	}
	if a := w.set(bob, setting(90_011, "pin:c1", `null`, a1(w, "pin:c1"))); a.Err != nil {
		t.Errorf("emptying one: %v", a.Err)
	}
	if a := w.set(bob, setting(90_012, "mute:c9", `true`, 0)); a.Err != nil {
		t.Errorf("there is room again: %v", a.Err)
	}
}

func a1(w *world, key string) int64 { return w.registers(bob)[key].Version }

// A register that was set is there after a kill that came before it was projected.
func TestRegistersAreRebuilt(t *testing.T) {
	w := newWorld(t)
	w.set(ann, setting(1, "tabs", `1`, 0))
	w.closeStore() // under the bridge's feet: nothing more is written
	_ = w.bridge.Close()
	w.later.Add(int64(time.Minute))
	w.open()
	if got := w.registers(ann)["tabs"]; string(got.Value) != `1` || got.Version != 1 {
		t.Errorf("after the restart: %+v", got)
	}
}
