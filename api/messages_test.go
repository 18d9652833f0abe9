package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

func messagesPath(conversation string) string {
	return "/v1/conversations/" + conversation + "/messages"
}

func TestPostingTwiceIsOnce(t *testing.T) {
	f := setup(t, nil)
	id := parley.NewID(parley.PrefixConversation)
	d := draft("你好")
	first := decode[api.Receipt](t, f.expect(t, f.post(t, f.visitor, messagesPath(id), d), http.StatusCreated))
	if first.Seq != 2 || first.Duplicate || first.Epoch != f.store.Epoch() || first.At == 0 {
		t.Errorf("receipt %+v, want seq 2 behind the opening", first)
	}
	f.expect(t, f.post(t, f.visitor, messagesPath(id), draft("another")), http.StatusCreated)

	again := decode[api.Receipt](t, f.expect(t, f.post(t, f.visitor, messagesPath(id), d), http.StatusOK))
	first.Duplicate = true
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the repeat is answered differently:\n%s", diff)
	}
	spaced := fmt.Sprintf(` { "body" : {"text":"\u4f60\u597d", "more": 1}, "type":"text", "id":%q , "extra":[]} `, d.ID)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), spaced), http.StatusOK)

	p := expectProblem(t, f.post(t, f.visitor, messagesPath(id), parley.NewText(d.ID, "other content")), http.StatusConflict, parley.CodeConflict)
	if p.ID != d.ID {
		t.Errorf("the conflict is about %q, want %q", p.ID, d.ID)
	}
	page := decode[page](t, f.get(t, f.visitor, messagesPath(id)))
	if len(page.Entries) != 3 {
		t.Errorf("the conversation has %d entries, want opening and two messages", len(page.Entries))
	}
}

func TestPostingTheSameDraftAtOnce(t *testing.T) {
	f := setup(t, nil)
	id, d := parley.NewID(parley.PrefixConversation), draft("at once")
	answers := make(chan response, 20)
	var wg sync.WaitGroup
	for range cap(answers) {
		wg.Go(func() { answers <- f.post(t, f.visitor, messagesPath(id), d) })
	}
	wg.Wait()
	close(answers)
	created := 0
	for a := range answers {
		if r := decode[api.Receipt](t, a); r.Seq != 2 || r.Duplicate != (a.status == http.StatusOK) {
			t.Errorf("status %d, receipt %+v", a.status, r)
		}
		if a.status == http.StatusCreated {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d posts say they were the first, want 1", created)
	}
}

func TestRefusedDrafts(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	const id = "msg_refused"
	for name, c := range map[string]struct {
		body   string
		status int
		id     string
	}{
		"empty":              {"", 400, ""},
		"not JSON":           {"{", 400, ""},
		"a list":             {"[]", 400, ""},
		"null":               {"null", 400, ""},
		"no id":              {`{"type":"text","body":{"text":"a"}}`, 400, ""},
		"id is an object":    {`{"id":{"$ne":null},"type":"text","body":{"text":"a"}}`, 400, ""},
		"id is short":        {`{"id":"a","type":"text","body":{"text":"a"}}`, 400, ""},
		"type is an object":  {`{"id":"msg_refused","type":{"$ne":null},"body":{"text":"a"}}`, 400, id},
		"type is unknown":    {`{"id":"msg_refused","type":"opened","body":{"visitor":"x"}}`, 400, id},
		"no body":            {`{"id":"msg_refused","type":"text"}`, 400, id},
		"body is null":       {`{"id":"msg_refused","type":"text","body":null}`, 400, id},
		"body is text":       {`{"id":"msg_refused","type":"text","body":"a"}`, 400, id},
		"text is an object":  {`{"id":"msg_refused","type":"text","body":{"text":{"$gt":""}}}`, 400, id},
		"text is null":       {`{"id":"msg_refused","type":"text","body":{"text":null}}`, 400, id},
		"text is empty":      {`{"id":"msg_refused","type":"text","body":{"text":""}}`, 400, id},
		"text is not UTF-8":  {"{\"id\":\"msg_refused\",\"type\":\"text\",\"body\":{\"text\":\"\xff\"}}", 400, id},
		"text of 100 KiB":    {`{"id":"msg_refused","type":"text","body":{"text":"` + strings.Repeat("x", 100<<10) + `"}}`, 413, id},
		"something behind":   {`{"id":"msg_refused","type":"text","body":{"text":"a"}} {}`, 400, ""},
		"id in capitals":     {`{"ID":"msg_refused","type":"text","body":{"text":"a"}}`, 400, ""},
		"id twice":           {`{"id":"msg_refused","id":"msg_refused","type":"text","body":{"text":"a"}}`, 400, ""},
		"text twice":         {`{"id":"msg_refused","type":"text","body":{"text":"a","text":"b"}}`, 400, id},
		"half a surrogate":   {`{"id":"msg_refused","type":"text","body":{"text":"a\ud800"}}`, 400, id},
		"deep nesting":       {strings.Repeat("[", 20000), 400, ""},
		"two of everything":  {`[{"id":"msg_refused","type":"text","body":{"text":"a"}}]`, 400, ""},
		"a form":             {"id=msg_refused&type=text", 400, ""},
		"id with a NUL byte": {`{"id":"msg_\u0000refused","type":"text","body":{"text":"a"}}`, 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code := parley.CodeInvalid
			if c.status == http.StatusRequestEntityTooLarge {
				code = parley.CodeTooLarge
			}
			p := expectProblem(t, f.post(t, f.visitor, messagesPath(conversation), c.body), c.status, code)
			if p.ID != c.id {
				t.Errorf("the refusal is about %q, want %q", p.ID, c.id)
			}
		})
	}
	if s := decode[parley.State](t, f.get(t, f.visitor, "/v1/conversations/"+conversation)); s.Head != 2 {
		t.Errorf("head is %d after refused drafts, want 2", s.Head)
	}
}

func TestEntriesLookAsOnMQTT(t *testing.T) {
	f := setup(t, nil)
	id := parley.NewID(parley.PrefixConversation)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), draft("<b> & \u2028 \\ \" 你好 👩‍👩‍👧")), http.StatusCreated)
	stored := must(f.store.Read(t.Context(), parley.MessagesOf(f.one.ID, id), 0, 10))(t)
	p := decode[page](t, f.get(t, f.visitor, messagesPath(id)))
	if len(p.Entries) != len(stored) {
		t.Fatalf("%d entries, want %d", len(p.Entries), len(stored))
	}
	for i := range stored {
		var got, want any
		if err := json.Unmarshal(p.Entries[i], &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(stored[i].AppendJSON(nil, f.store.Epoch()), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestConversationLife(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 1)
	at := func(tail string) string { return "/v1/conversations/" + id + tail }
	state := func(r response) parley.State {
		t.Helper()
		return decode[parley.State](t, f.expect(t, r, http.StatusOK))
	}

	late := draft("too early")
	expectProblem(t, f.post(t, f.agent(), messagesPath(id), late), http.StatusForbidden, parley.CodeForbidden)
	if s := state(f.post(t, f.agent(), at("/claim"), nil)); s.Status != parley.StatusOpen || s.Assignee == nil || s.Assignee.ID != f.agent().Identity.User {
		t.Errorf("claimed: %+v", s)
	}
	state(f.post(t, f.agent(), at("/claim"), nil))                                                          // again changes nothing
	expectProblem(t, f.post(t, f.colleague(), at("/claim"), nil), http.StatusConflict, parley.CodeConflict) // somebody was faster
	expectProblem(t, f.get(t, f.colleague(), at("")), http.StatusNotFound, parley.CodeNotFound)             // not theirs any more
	expectProblem(t, f.post(t, f.visitor, at("/claim"), nil), http.StatusForbidden, parley.CodeForbidden)   // not for visitors
	expectProblem(t, f.post(t, f.visitor, at("/close"), nil), http.StatusForbidden, parley.CodeForbidden)   // nor this
	f.expect(t, f.post(t, f.agent(), messagesPath(id), late), http.StatusCreated)                           // the refused draft is free again
	if s := state(f.post(t, f.agent(), at("/close"), nil)); s.Status != parley.StatusClosed {
		t.Errorf("closed: %+v", s)
	}
	expectProblem(t, f.post(t, f.agent(), messagesPath(id), draft("after")), http.StatusConflict, parley.CodeClosed)
	f.expect(t, f.post(t, f.agent(), messagesPath(id), late), http.StatusOK) // a repeat is still answered
	f.expect(t, f.post(t, f.visitor, messagesPath(id), draft("one more thing")), http.StatusCreated)
	if s := state(f.get(t, f.visitor, at(""))); s.Status != parley.StatusQueued || s.Assignee != nil || s.LastText != "one more thing" || s.Count != 3 {
		t.Errorf("reopened: %+v", s)
	}
	if s := state(f.post(t, f.owner(), at("/claim"), nil)); s.Assignee == nil || s.Assignee.Name != "owner" {
		t.Errorf("claimed by the owner: %+v", s)
	}
}

func TestClaimHasOneWinner(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 1)
	statuses := make(chan int, 10)
	var wg sync.WaitGroup
	for i := range cap(statuses) {
		who := f.agent()
		if i%2 == 0 {
			who = f.colleague()
		}
		wg.Go(func() { statuses <- f.post(t, who, "/v1/conversations/"+id+"/claim", nil).status })
	}
	wg.Wait()
	close(statuses)
	won := 0
	for s := range statuses {
		if s == http.StatusOK {
			won++
			continue
		}
		if s != http.StatusConflict {
			t.Errorf("who came second got %d, want %d", s, http.StatusConflict)
		}
	}
	if won != cap(statuses)/2 { // every try of the one, none of the other
		t.Errorf("%d of %d claims won, want the half that is one agent's", won, cap(statuses))
	}
}

func TestListingConversations(t *testing.T) {
	f := setup(t, nil)
	var ids []string
	for range 5 {
		ids = append([]string{f.open(t, 1)}, ids...)
		for made := time.Now().UnixMilli(); time.Now().UnixMilli() == made; { // lists go by milliseconds
			runtime.Gosched()
		}
	}
	f.expect(t, f.post(t, f.agent(), "/v1/conversations/"+ids[4]+"/claim", nil), http.StatusOK)

	var got []string
	cursor, pages := "", 0
	for {
		p := decode[api.ConversationPage](t, f.expect(t, f.get(t, f.visitor, "/v1/conversations?limit=2"+cursor), http.StatusOK))
		pages++
		for _, c := range p.Conversations {
			got = append(got, c.Conversation)
		}
		if p.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *p.NextCursor
	}
	want := append([]string{ids[4]}, ids[:4]...) // the claim made it the newest
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Errorf("in %d pages:\n%s", pages, diff)
	}

	for _, c := range []struct {
		name  string
		who   parley.Credentials
		query string
		want  int
	}{
		{"agent, all", f.agent(), "", 5},
		{"agent, mine", f.agent(), "?mine=true", 1},
		{"agent, queued", f.agent(), "?status=queued", 4},
		{"agent, open", f.agent(), "?status=open", 1},
		{"agent, closed", f.agent(), "?status=closed", 0},
		{"colleague, all", f.colleague(), "", 4},
		{"colleague, open", f.colleague(), "?status=open", 0},
		{"colleague, mine", f.colleague(), "?mine=true", 0},
		{"owner, all", f.owner(), "?mine=false", 5},
		{"stranger", f.stranger, "", 0},
		{"owner of another site", f.foreignOwner(), "", 0},
	} {
		p := decode[api.ConversationPage](t, f.expect(t, f.get(t, c.who, "/v1/conversations"+c.query), http.StatusOK))
		if len(p.Conversations) != c.want || p.NextCursor != nil {
			t.Errorf("%s: %d conversations, want %d", c.name, len(p.Conversations), c.want)
		}
	}
	for _, query := range []string{
		"?status=all", "?status=Open", "?limit=0", "?limit=101", "?limit=x", "?mine=perhaps", "?cursor=x",
		"?cursor=%7B%7D", "?cursor=MS4", "?cursor=LTEuY252", "?status[$ne]=x&status=snoozed",
	} {
		expectProblem(t, f.get(t, f.agent(), "/v1/conversations"+query), http.StatusBadRequest, parley.CodeInvalid)
	}
}

func TestEditAndDelete(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 2) // seq 2 and 3
	amendment := func(kind parley.EntryType, body string) parley.Draft {
		return parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: kind, Body: json.RawMessage(body)}
	}
	gone := amendment(parley.EntryDelete, `{"seq":2}`)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), amendment(parley.EntryEdit, `{"seq":2,"text":"better"}`)), http.StatusCreated)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), gone), http.StatusCreated)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), gone), http.StatusOK)
	f.expect(t, f.post(t, f.visitor, messagesPath(id), amendment(parley.EntryEdit, `{"seq":3,"text":"as it is now"}`)), http.StatusCreated)
	late := amendment(parley.EntryEdit, `{"seq":2,"text":"late"}`)
	if p := expectProblem(t, f.post(t, f.visitor, messagesPath(id), late), http.StatusConflict, parley.CodeConflict); p.ID != late.ID {
		t.Errorf("the refusal is about %q, want %q", p.ID, late.ID)
	}
	expectProblem(t, f.post(t, f.visitor, messagesPath(id), amendment(parley.EntryDelete, `{"seq":1}`)), http.StatusNotFound, parley.CodeNotFound)

	var redacted []int64
	for _, raw := range decode[page](t, f.get(t, f.visitor, messagesPath(id))).Entries {
		e := must(decodeEntry(raw))(t)
		if e.Redacted && string(e.Body) == "{}" {
			redacted = append(redacted, e.Seq)
		}
	}
	if diff := cmp.Diff([]int64{2, 4}, redacted); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	state := decode[parley.State](t, f.get(t, f.visitor, "/v1/conversations/"+id))
	if state.LastText != "as it is now" || state.Count != 2 {
		t.Errorf("state %+v", state)
	}
}
