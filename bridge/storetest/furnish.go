package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Furnish puts something of everything into a new store: twelve conversations, one
// of them with that many messages, the others with 50 at most, some of which are cut,
// with edits, deletes, notes, marks and registers; that many sessions; accounts and secrets.
func Furnish(t *testing.T, s Rest, long, devices int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	b, err := bridge.New(ctx, s, bridge.Options{NewConversations: 1000})
	must(err)
	boss := parley.Identity{Site: "ste_a", User: "agt_boss", Device: "dev_1", Role: parley.RoleOwner, Name: "Boss"}
	for n := range 12 {
		visitor := parley.Identity{Site: "ste_a", User: fmt.Sprintf("vis_%d", n), Device: "dev_1", Role: parley.RoleVisitor, Name: "王小明"}
		conversation := fmt.Sprintf("cnv_%d", n)
		say := func(who parley.Identity, drafts ...parley.Draft) {
			t.Helper()
			answers, err := b.Record(ctx, who, conversation, drafts)
			must(err)
			for _, a := range answers {
				must(a.Err)
			}
		}
		amend := func(id string, kind parley.EntryType, body string) parley.Draft {
			return parley.Draft{ID: id, Type: kind, Body: []byte(body)}
		}
		drafts := make([]parley.Draft, min(50, max(long, 10)))
		if n == 11 {
			drafts = make([]parley.Draft, long)
		}
		for i := range drafts {
			drafts[i] = parley.NewText(fmt.Sprintf("msg_%06d", i), fmt.Sprintf("<b>你好</b> %d", i))
		}
		say(visitor, drafts...)
		say(visitor, amend("amend_1", parley.EntryEdit, `{"seq":2,"text":"better"}`), amend("amend_2", parley.EntryDelete, `{"seq":3}`),
			amend("amend_3", parley.EntryEdit, `{"seq":5,"text":"<i>best</i>"}`))
		_, err := b.Claim(ctx, boss, conversation)
		must(err)
		_, err = b.Note(ctx, boss, conversation, []parley.Draft{parley.NewText("note_0001", "a note")})
		must(err)
		_, err = b.Mark(ctx, visitor, conversation, parley.MarkDraft{Delivered: 4, Read: 3})
		must(err)
		_, err = b.Set(ctx, visitor, parley.SetDraft{ID: "set_00001", Key: "draft:" + conversation, Value: []byte(`{"text":"<half>"}`)})
		must(err)
		if n%3 == 0 {
			_, err := b.CutHistory(ctx, parley.MessagesOf("ste_a", conversation), int64(4+n))
			must(err)
		}
	}
	must(b.Close())
	furnishSessions(t, s, devices)
	must(s.PutSite(ctx, parley.Site{ID: "ste_a", Key: "key_a", Name: "A & B", Origins: []string{"https://a.example"}}))
	must(s.PutSite(ctx, parley.Site{ID: "ste_b", Key: "key_b", Name: "B"}))
	must(s.PutAccount(ctx, parley.Account{Site: "ste_a", ID: "agt_boss", Email: "boss@a.example", Name: "Boss", Role: parley.RoleOwner, PasswordHash: "$argon2id$x"}))
	must(s.Revoke(ctx, parley.Revocation{Site: "ste_a", User: "vis_1", Before: 5}))
	must(s.Revoke(ctx, parley.Revocation{Site: "ste_a", User: "vis_1", Device: "dev_2", Before: 7}))
	_, err = s.Secret(ctx, "token", 32)
	must(err)
	for id, state := range map[string]parley.AttachmentState{"att_1": parley.AttachmentReady, "att_2": parley.AttachmentSent} {
		a := attachment(id)
		a.State, a.Type, a.Width, a.Height = state, "image/png", 3, 4
		must(s.SaveAttachment(ctx, a))
	}
}

func furnishSessions(t *testing.T, s Rest, devices int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	var connects sync.WaitGroup
	for n := range devices { // at once, to share fsyncs
		connects.Go(func() {
			if _, err := s.Connect(ctx, fmt.Sprintf("ste_a.vis_%d.dev_2", n), false, time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	connects.Wait()
	for n := range 12 {
		device := fmt.Sprintf("ste_a.vis_%d.dev_1", n)
		session, err := s.Connect(ctx, device, false, time.Hour)
		must(err)
		for _, filter := range []string{"p1/ste_a/c/+/messages", "p1/ste_a/c/+/state"} {
			must(s.SaveSubscription(ctx, device, session.Generation, parley.SubscriptionSave{
				Subscription: parley.Subscription{Filter: filter, QoS: 1}, Seen: int64(n),
				Starts: []parley.Cursor{{Stream: parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n)), Epoch: s.Epoch(), Seq: 3}},
			}))
		}
		must(s.Leave(ctx, parley.SessionEnd{Device: device, Generation: session.Generation, Expiry: time.Hour, LastID: 77}))
	}
}
