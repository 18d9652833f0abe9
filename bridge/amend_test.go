package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

func amendment(id string, kind parley.EntryType, body any) parley.Draft {
	raw, _ := json.Marshal(body)
	return parley.Draft{ID: id, Type: kind, Body: raw}
}

func edit(n int, seq int64, text string) parley.Draft {
	return amendment(fmt.Sprintf("msg_e%05d", n), parley.EntryEdit, parley.EditBody{Seq: seq, Text: text})
}

func deletion(n int, seq int64) parley.Draft {
	return amendment(fmt.Sprintf("msg_d%05d", n), parley.EntryDelete, parley.DeleteBody{Seq: seq})
}

// screen is what a device shows that has applied entries in order: the text of
// each message by its seq, empty if it was deleted.
type screen map[int64]string

func (s screen) apply(e *parley.Entry) {
	var body parley.EditBody
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return
	}
	switch {
	case e.Type == parley.EntryText:
		s[e.Seq] = body.Text // of a redacted one: none
	case e.Type == parley.EntryEdit && s[body.Seq] != "":
		s[body.Seq] = body.Text
	case e.Type == parley.EntryDelete:
		s[body.Seq] = ""
	}
}

func (w *world) shown(conversation string) screen {
	w.Helper()
	s := screen{}
	for _, e := range w.log(conversation) {
		s.apply(&e)
	}
	return s
}

func (w *world) expectLastText(conversation, want string) {
	w.Helper()
	c, err := w.bridge.Conversation(w.Context(), boss, conversation)
	if err != nil || c.LastText != want {
		w.Fatalf("last text %q, %v; want %q", c.LastText, err, want)
	}
	list, err := w.bridge.Conversations(w.Context(), boss, parley.ConversationList{})
	if err != nil {
		w.Fatal(err)
	}
	for _, row := range list {
		if row.ID == conversation && row.LastText != want {
			w.Fatalf("last text in the list is %q, want %q", row.LastText, want)
		}
	}
}

func TestEditAndDelete(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1), edit(1, 2, "better"), draft(2), deletion(1, 2)) // each finds what came before it in the batch
	w.expectTypes("c1", parley.EntryOpened, parley.EntryText, parley.EntryEdit, parley.EntryText, parley.EntryDelete)
	log := w.log("c1")
	for i, want := range []struct {
		redacted bool
		body     string
		count    int64
	}{
		{false, `{"visitor":"vis_ann","name":"Ann"}`, 0}, {true, `{}`, 1}, {true, `{}`, 1}, {false, `{"text":"text 2"}`, 2}, {false, `{"seq":2}`, 2},
	} {
		if e := log[i]; e.Redacted != want.redacted || string(e.Body) != want.body || e.Count != want.count {
			t.Errorf("entry %d: redacted %v, %s, count %d", e.Seq, e.Redacted, e.Body, e.Count)
		}
	}
	w.expectLastText("c1", "text 2")
	w.say(ann, "c1", edit(2, 4, "new text 2"))
	w.expectLastText("c1", "new text 2")
	before, err := w.bridge.Conversation(t.Context(), ann, "c1")
	if err != nil {
		t.Fatal(err)
	}
	w.say(ann, "c1", deletion(2, 4))
	w.expectLastText("c1", "")
	after, err := w.bridge.Conversation(t.Context(), ann, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Marks, after.Marks); diff != "" || after.Count != 2 {
		t.Errorf("count %d, marks (-before +after):\n%s", after.Count, diff)
	}
	for _, d := range []parley.Draft{draft(1), edit(1, 2, "better"), deletion(1, 2), edit(2, 4, "new text 2"), deletion(2, 4)} {
		if a := w.say(ann, "c1", d)[0]; !a.Duplicate {
			t.Errorf("repeat of %s: %+v", d.ID, a)
		}
	}
	w.refused(ann, "c1", parley.NewText(draft(1).ID, "other"), parley.CodeConflict)
	w.refused(ann, "c1", edit(3, 4, "again"), parley.CodeConflict)
	w.refused(ann, "c1", deletion(3, 4), parley.CodeConflict)
	w.refused(ann, "c1", deletion(4, 99), parley.CodeNotFound)
	w.refused(ann, "c1", edit(5, 1, "opened"), parley.CodeNotFound)
	w.refused(ann, "none", edit(5, 2, "nowhere"), parley.CodeNotFound)
	w.refused(bob, "c1", deletion(5, 4), parley.CodeNotFound)
	w.close()
	w.open()
	w.expectLastText("c1", "")
	if diff := cmp.Diff(screen{2: "", 4: ""}, w.shown("c1")); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestEditsEndWithTheConversation(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1), draft(2))
	w.claim(lilei, "c1")
	w.say(lilei, "c1", draft(3), edit(1, 5, "better"))
	if _, err := w.bridge.Finish(t.Context(), lilei, "c1"); err != nil {
		t.Fatal(err)
	}
	if a := w.say(lilei, "c1", edit(1, 5, "better"))[0]; !a.Duplicate {
		t.Errorf("repeat after the close: %+v", a)
	}
	w.refused(ann, "c1", edit(2, 2, "late"), parley.CodeClosed)
	w.refused(lilei, "c1", edit(3, 5, "late"), parley.CodeClosed)
	w.say(ann, "c1", deletion(1, 2))
	w.say(lilei, "c1", deletion(2, 5))
	w.say(boss, "c1", deletion(3, 3))
	c, err := w.bridge.Conversation(t.Context(), ann, "c1")
	if err != nil || c.Status != parley.StatusClosed || c.Control != 7 {
		t.Errorf("deletes have opened the conversation: %+v, %v", c, err)
	}
}

// The clock that counts is the server's. When it jumps back, nobody has less time
// than was promised.
func TestEditTimes(t *testing.T) {
	var mu sync.Mutex
	var ahead time.Duration
	jump := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ahead = d
	}
	w := newWorldWith(t, bridge.Options{NewConversations: 100, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	}})
	w.say(ann, "c1", draft(1), draft(2), draft(3))
	w.claim(lilei, "c1")
	w.say(lilei, "c1", draft(4), draft(5))
	jump(-48 * time.Hour)
	w.say(ann, "c1", edit(1, 2, "in the past"))
	jump(14 * time.Minute)
	w.say(ann, "c1", edit(2, 2, "in time"), deletion(2, 3))
	jump(16 * time.Minute)
	w.refused(ann, "c1", edit(3, 2, "late"), parley.CodeForbidden)
	w.refused(ann, "c1", deletion(3, 2), parley.CodeForbidden)
	w.say(lilei, "c1", edit(4, 6, "in time"))
	jump(25 * time.Hour)
	w.refused(lilei, "c1", deletion(5, 6), parley.CodeForbidden)
	w.say(boss, "c1", deletion(6, 6))
	if diff := cmp.Diff(screen{2: "in time", 3: "", 4: "text 3", 6: "", 7: "text 5"}, w.shown("c1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What comes behind a refused draft is not stored before the refusal can be told:
// if the server died in between, the draft would be decided again behind it.
func TestRecordStopsBehindARefusal(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	w.say(lilei, "c1", draft(2))
	record := func(send func(context.Context, parley.Identity, string, []parley.Draft) ([]parley.Appended, error), who parley.Identity, drafts ...parley.Draft) []parley.Appended {
		t.Helper()
		answers, err := send(t.Context(), who, "c1", drafts)
		if err != nil {
			t.Fatal(err)
		}
		return answers
	}
	drafts := []parley.Draft{draft(3), edit(1, 4, "not mine"), draft(4)}
	if a := record(w.bridge.Record, ann, drafts...); len(a) != 2 || a[0].Err != nil || a[1].Err == nil {
		t.Errorf("messages and a refused edit: %+v", a)
	}
	if a := record(w.bridge.Record, bob, draft(5), edit(2, 2, "not mine"), draft(6)); len(a) != 1 || a[0].Err == nil {
		t.Errorf("refused messages: %+v", a)
	}
	if a := record(w.bridge.Note, lilei, draft(7), edit(3, 9, "nothing"), draft(8)); len(a) != 2 || a[0].Err != nil || a[1].Err == nil {
		t.Errorf("notes and a refused edit: %+v", a)
	}
	if a := record(w.bridge.Record, ann, drafts[2:]...); len(a) != 1 || a[0].Entry.Seq != 6 || a[0].Duplicate {
		t.Errorf("the rest: %+v", a)
	}
}

func TestNotesAreEditedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.say(ann, "c1", draft(1))
	w.claim(lilei, "c1")
	note := func(who parley.Identity, code parley.Code, drafts ...parley.Draft) {
		t.Helper()
		answers, err := w.bridge.Note(t.Context(), who, "c1", drafts)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if got := parley.ErrorOf(a.Err); got == nil && code != "" || got != nil && got.Code != code {
				t.Errorf("%s: answer %v, want %q", who.User, a.Err, code)
			}
		}
	}
	note(lilei, "", draft(1), draft(2), edit(1, 1, "better"), deletion(1, 2))
	note(boss, parley.CodeForbidden, edit(2, 1, "not mine"))
	note(lilei, parley.CodeConflict, edit(3, 2, "late"))
	note(lilei, parley.CodeConflict, deletion(3, 2))
	note(lilei, "", deletion(1, 2))
	note(boss, "", deletion(4, 1))
	note(ann, parley.CodeForbidden, deletion(5, 1))
	entries, err := w.store.Read(t.Context(), parley.NotesOf(site, "c1"), 0, 100)
	if err != nil || len(entries) != 5 || !entries[0].Redacted || !entries[1].Redacted || !entries[2].Redacted {
		t.Errorf("notes %+v, %v", entries, err)
	}
	w.expectLastText("c1", "text 1")
}

// Two devices of the author and a supervisor edit and delete the same messages at
// the same moment. Whatever order comes out, all agree on it, and no text of a
// deleted message is left.
func TestEditsAndDeletesRace(t *testing.T) {
	w := newWorld(t)
	tablet := ann
	tablet.Device = "dev_2"
	for n := range 30 {
		target := w.say(ann, "c1", draft(n))[0].Entry.Seq
		var wg sync.WaitGroup
		for i, try := range []struct {
			who   parley.Identity
			draft parley.Draft
		}{
			{ann, edit(10*n, target, "from the phone")}, {tablet, edit(10*n+1, target, "from the tablet")},
			{ann, deletion(10*n+2, target)}, {tablet, deletion(10*n+3, target)}, {boss, deletion(10*n+4, target)},
		} {
			wg.Go(func() {
				answers, err := w.bridge.Record(t.Context(), try.who, "c1", []parley.Draft{try.draft})
				if err != nil {
					t.Errorf("%d: %v", i, err)
				} else if e := parley.ErrorOf(answers[0].Err); e != nil && e.Code != parley.CodeConflict {
					t.Errorf("%d: %v", i, e)
				}
			})
		}
		wg.Wait()
		deletes := 0
		for _, e := range w.log("c1")[target-1:] {
			if e.Type == parley.EntryDelete {
				deletes++
			} else if !e.Redacted || deletes > 0 {
				t.Errorf("%s %d: redacted %v, %d deletes before", e.Type, e.Seq, e.Redacted, deletes)
			}
		}
		if deletes != 1 {
			t.Errorf("%d deletes of %d", deletes, target)
		}
	}
}

// TestAmendModel sends, edits, deletes and restarts at random. A device that was
// connected throughout, one that comes and goes, and one that reads everything
// show what a naive model says.
func TestAmendModel(t *testing.T) {
	w := newWorld(t)
	conversations := 0
	rapid.Check(t, func(rt *rapid.T) {
		conversations++
		id := fmt.Sprintf("c%04d", conversations)
		want, live, roamer := screen{}, screen{}, screen{}
		positions := map[string]int64{}
		authors := map[int64]parley.Identity{}
		last, n := int64(0), 0
		catchUp := func(device string, s screen) {
			if _, err := w.bridge.Head(w.Context(), parley.MessagesOf(site, id)); err != nil { // waits for the follower
				rt.Fatal(err)
			}
			for {
				page, err := w.bridge.Deliveries(w.Context(), parley.MessagesOf(site, id), positions[device], 3)
				if err != nil {
					rt.Fatal(err)
				}
				if len(page) == 0 {
					return
				}
				for _, d := range page {
					e, _, err := parley.DecodeEntry("", d.Payload)
					if err != nil || e.Redacted != strings.Contains(string(d.Payload), `"body":{},`) {
						rt.Fatalf("%s, %v", d.Payload, err)
					}
					if text, ok := want[e.Seq]; ok && e.Redacted != (text == "") {
						rt.Fatalf("message %d is %q and delivered as %s", e.Seq, text, d.Payload)
					}
					s.apply(&e)
					positions[device] = d.Seq
				}
			}
		}
		send := func(who parley.Identity, d parley.Draft) parley.Appended {
			answers, err := w.bridge.Record(w.Context(), who, id, []parley.Draft{d})
			if err != nil {
				rt.Fatal(err)
			}
			return answers[0]
		}
		amend := func(rt *rapid.T, kind parley.EntryType) {
			n++
			seq := rapid.Int64Range(1, last+2).Draw(rt, "seq")
			who := rapid.SampledFrom([]parley.Identity{ann, boss}).Draw(rt, "who")
			d, text := deletion(n, seq), ""
			if kind == parley.EntryEdit {
				text = fmt.Sprintf("edit %d", n)
				d = edit(n, seq, text)
			}
			allowed := want[seq] != "" && (authors[seq].User == who.User || kind == parley.EntryDelete && who.User == boss.User)
			a := send(who, d)
			if (a.Err == nil) != allowed {
				rt.Fatalf("%s of %d by %s: %v, allowed %v", kind, seq, who.User, a.Err, allowed)
			}
			if allowed {
				want[seq] = text
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(rt *rapid.T) {
				n++
				who := ann
				if last > 0 {
					who = rapid.SampledFrom([]parley.Identity{ann, boss}).Draw(rt, "who")
				}
				last = send(who, draft(n)).Entry.Seq
				want[last], authors[last] = fmt.Sprintf("text %d", n), who
			},
			"edit":    func(rt *rapid.T) { amend(rt, parley.EntryEdit) },
			"edit2":   func(rt *rapid.T) { amend(rt, parley.EntryEdit) },
			"delete":  func(rt *rapid.T) { amend(rt, parley.EntryDelete) },
			"connect": func(*rapid.T) { catchUp("roamer", roamer) },
			"apply": func(rt *rapid.T) {
				if _, err := w.store.EntriesSince(w.Context(), 0, nil, 1); err != nil {
					rt.Fatal(err)
				}
			},
			"restart": func(rt *rapid.T) {
				if rapid.IntRange(0, 4).Draw(rt, "dice") == 0 {
					w.close()
					w.open()
				}
			},
			"": func(rt *rapid.T) {
				catchUp("live", live)
				if diff := cmp.Diff(want, live); diff != "" {
					rt.Fatalf("a device that was connected (-want +got):\n%s", diff)
				}
				if c, err := w.bridge.Conversation(w.Context(), boss, id); last > 0 && (err != nil || c.LastText != want[last]) {
					rt.Fatalf("last text %q, %v; want %q", c.LastText, err, want[last])
				}
			},
		})
		if last > 0 {
			w.expectLastText(id, want[last])
		}
		catchUp("roamer", roamer)
		if diff := cmp.Diff(want, roamer); diff != "" {
			rt.Fatalf("a device that was away (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, w.shown(id)); diff != "" {
			rt.Fatalf("a new device (-want +got):\n%s", diff)
		}
	})
}
