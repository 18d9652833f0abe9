package broker_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

func edit(seq int64, text string) parley.Draft {
	return amendment(parley.EntryEdit, parley.EditBody{Seq: seq, Text: text})
}

func deletion(seq int64) parley.Draft {
	return amendment(parley.EntryDelete, parley.DeleteBody{Seq: seq})
}

func amendment(kind parley.EntryType, body any) parley.Draft {
	raw, _ := json.Marshal(body)
	return parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: kind, Body: raw}
}

// screen is the text of each message by its seq, as a device shows it: empty if
// it was deleted.
type screen map[int64]string

func (s screen) apply(e parley.Entry) {
	var body parley.EditBody
	if json.Unmarshal(e.Body, &body) != nil {
		return
	}
	switch {
	case e.Type == parley.EntryText:
		s[e.Seq] = body.Text
	case e.Type == parley.EntryEdit && s[body.Seq] != "":
		s[body.Seq] = body.Text
	case e.Type == parley.EntryDelete:
		s[body.Seq] = ""
	}
}

// show takes deliveries of a conversation, from seq after+1 to head, onto the
// screen, and fails if one of them holds a forbidden text.
func (c *client) show(s screen, conversation string, after, head int64, forbidden string) {
	c.t.Helper()
	for seq := after + 1; seq <= head; seq++ {
		pk := c.expectOn(c.messagesTopic(conversation))
		e, _, err := parley.DecodeEntry("", pk.Payload)
		must(c.t, err)
		if e.Seq != seq {
			c.t.Fatalf("seq %d came where %d should", e.Seq, seq)
		}
		if strings.Contains(string(pk.Payload), forbidden) {
			c.t.Errorf("seq %d is delivered with what was deleted", seq)
		}
		s.apply(e)
	}
}

// A device that is connected, one that was away, and one that asks for the
// beginning show the same texts; those that come after the delete are not told
// what was deleted.
func TestEditAndDeleteReachEveryDevice(t *testing.T) {
	for name, restart := range map[string]bool{"live": false, "restart": true} {
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version byte) {
				w := newWorld(t)
				visitor, boss := w.visitor(), w.staff("wanggang", parley.RoleSupervisor)
				id := w.conversation(visitor, 1) // seq 2
				phone, tablet := w.again(visitor), w.again(visitor)
				sender := w.resume(t, visitor, version)
				sender.followMessages()
				away := w.resume(t, phone, version)
				away.followMessages()
				shown, missed := screen{2: "?"}, screen{2: "?"}
				sender.expectAck(sender.post(id, parley.NewText("msg_secret", "SECRET"))) // 3
				away.show(missed, id, 2, 3, "nothing")
				away.ping()
				w.away(away)

				for _, d := range []parley.Draft{
					edit(3, "SECRET, better"), parley.NewText("msg_third", "third"), edit(5, "5th"), // 4, 5, 6
				} {
					sender.expectAck(sender.post(id, d))
				}
				w.record(boss, id, deletion(3)) // 7
				sender.expectAck(sender.post(id, edit(5, "fifth")))
				sender.show(shown, id, 2, 8, "nothing")
				want := screen{2: "?", 3: "", 5: "fifth"}
				if diff := cmp.Diff(want, shown); diff != "" {
					t.Errorf("the sender shows (-want +got):\n%s", diff)
				}
				if restart {
					w.restart()
				}
				away = w.resume(t, phone, version)
				away.show(missed, id, 3, 8, "SECRET")
				if diff := cmp.Diff(want, missed); diff != "" {
					t.Errorf("who was away shows (-want +got):\n%s", diff)
				}
				if version < 5 {
					return
				}
				fresh := w.connect(t, tablet, version)
				all := screen{}
				if codes := fresh.subscribeAfter("0", fresh.messagesTopic(id)); codes[0] != 1 {
					t.Fatalf("SUBACK %#x", codes)
				}
				fresh.show(all, id, 0, 8, "SECRET")
				if all[2] = "?"; !cmp.Equal(want, all) {
					t.Errorf("a new device shows %v", all)
				}
			})
		})
	}
}

// Edits and deletes are refused as messages are, with the reason and the words.
func TestRefusedEdits(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w := newWorld(t)
		visitor := w.visitor()
		id := w.conversation(visitor, 2)
		w.claim(w.agent("lilei"), id)
		w.record(w.agent("lilei"), id, parley.NewText("msg_agent", "from the agent")) // 5
		c := w.connect(t, visitor, version)
		c.follow(c.errorsTopic())
		refused := func(d parley.Draft, code parley.Code, reason byte) {
			t.Helper()
			ack := c.ackOf(c.post(id, d))
			if version == 5 && ack.ReasonCode != reason {
				t.Errorf("%s of %s: PUBACK %#x, want %#x", d.Type, d.Body, ack.ReasonCode, reason)
			}
			if r := c.expectRefusal(); r.ID != d.ID || r.Code != code || r.Retry || r.Message == "" {
				t.Errorf("%s of %s: refused with %+v, want %s", d.Type, d.Body, r, code)
			}
		}
		refused(edit(5, "not mine"), parley.CodeForbidden, 0x87)
		refused(deletion(5), parley.CodeForbidden, 0x87)
		refused(deletion(4), parley.CodeNotFound, 0x87) // the assignment
		refused(edit(99, "nothing"), parley.CodeNotFound, 0x87)
		c.expectAck(c.post(id, deletion(2)))
		refused(deletion(2), parley.CodeConflict, 0x83)
		refused(edit(2, "late"), parley.CodeConflict, 0x83)
		w.finish(w.agent("lilei"), id)
		refused(edit(3, "late"), parley.CodeClosed, 0x83)
		gone := deletion(3)
		c.expectAck(c.post(id, gone))
		c.expectAck(c.post(id, gone)) // again
		for _, body := range []string{`{}`, `{"seq":0}`, `{"seq":"3"}`, `{"seq":3.5}`, `{"seq":3,"seq":3}`} {
			refused(parley.Draft{ID: "msg_shape", Type: parley.EntryDelete, Body: []byte(body)}, parley.CodeInvalid, 0x99)
		}
		stored := w.stored(id)
		if last := stored[len(stored)-1]; last.Type != parley.EntryDelete || last.Count != 3 || last.Seq != 8 {
			t.Errorf("the last entry is %s %d, count %d", last.Type, last.Seq, last.Count)
		}
	})
}

// The state shows the newest message as it is now.
func TestStateFollowsEdits(t *testing.T) {
	w := newWorld(t)
	visitor := w.visitor()
	id := w.conversation(visitor, 1)
	c := w.connect(t, visitor, 5)
	c.follow(c.stateTopic(id))
	for i, step := range []struct {
		draft parley.Draft
		text  string
	}{{edit(2, "better"), "better"}, {deletion(2), ""}} {
		c.expectAck(c.post(id, step.draft))
		pk := c.expectState(id, func(s parley.State) bool { return s.Head == int64(3+i) })
		var s parley.State
		must(t, json.Unmarshal(pk.Payload, &s))
		if s.LastText != step.text || s.Count != 1 {
			t.Errorf("after %s: %q, count %d", step.draft.Type, s.LastText, s.Count)
		}
	}
}

// mosquitto_sub with a session is told of edits and deletes in order, and not what
// was deleted while it was away.
func TestMosquittoLearnsOfEdits(t *testing.T) {
	for _, version := range []string{"311", "5"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			who := w.visitor()
			id := w.conversation(who, 1)
			sub := w.mosquittoSub(t, version, who, persistently(version)...)
			await(t, func() string { return w.following(who) })
			w.record(who, id, parley.NewText("msg_first", "first"))
			sub.expectTexts([]string{"msg_first"})
			awaitCount(t, "acknowledged", 1, func() int64 { return w.broker.Stats().Acknowledged })
			sub.stop()
			awaitCount(t, "connections", 0, func() int64 { return w.broker.Stats().Connected })
			w.record(who, id, parley.NewText("msg_secret", "SECRET"))
			w.record(who, id, edit(4, "SECRET, better"))
			w.record(who, id, edit(3, "better"))
			w.record(who, id, deletion(4))
			w.record(who, id, parley.NewText("msg_last", "last"))
			again := w.mosquittoSub(t, version, who, persistently(version)...)
			again.expectTexts([]string{"msg_secret", "msg_last"})
			got := screen{3: "first"}
			for _, e := range again.received() {
				got.apply(e)
			}
			if diff := cmp.Diff(screen{3: "better", 4: "", 8: "last"}, got); diff != "" || strings.Contains(again.text(), "SECRET") {
				t.Errorf("it shows (-want +got):\n%s", diff)
			}
		})
	}
}
