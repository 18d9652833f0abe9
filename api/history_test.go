package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// page is api.EntryPage with entries as clients see them.
type page struct {
	Epoch      string            `json:"epoch"`
	Head       int64             `json:"head"`
	First      int64             `json:"first"`
	Entries    []json.RawMessage `json:"entries"`
	Amendments []json.RawMessage `json:"amendments"`
}

func (p page) seqs(t *testing.T) (seqs []int64) {
	t.Helper()
	for _, raw := range p.Entries {
		seqs = append(seqs, must(decodeEntry(raw))(t).Seq)
	}
	return seqs
}

func decodeEntry(raw []byte) (parley.Entry, error) {
	e, _, err := parley.DecodeEntry("", raw)
	return e, err
}

func TestReadingPages(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 9) // and the opening: 10 entries
	all := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for query, want := range map[string][]int64{
		"":                              all,
		"?limit=1":                      {10},
		"?limit=3":                      {8, 9, 10},
		"?limit=200":                    all,
		"?after=0&limit=3":              {1, 2, 3},
		"?after=7":                      {8, 9, 10},
		"?after=10":                     nil,
		"?after=9007199254740993":       nil,
		"?before=4":                     {1, 2, 3},
		"?before=8&limit=2":             {6, 7},
		"?before=1":                     nil,
		"?before=9223372036854775807":   all,
		"?around=5&limit=4":             {3, 4, 5, 6},
		"?around=1&limit=4":             {1, 2, 3, 4},
		"?around=10&limit=4":            {7, 8, 9, 10},
		"?around=9223372036854775807":   all,
		"?at=0&limit=2":                 {1, 2},
		"?at=9223372036854775807":       nil,
		"?after=8&unknown[$ne]=1&foo=a": {9, 10},
	} {
		p := decode[page](t, f.expect(t, f.get(t, f.visitor, messagesPath(id)+query), http.StatusOK))
		if diff := cmp.Diff(want, p.seqs(t)); diff != "" {
			t.Errorf("%q:\n%s", query, diff)
		}
		if p.Head != 10 || p.First != 1 || p.Epoch != f.store.Epoch() || p.Entries == nil || p.Amendments == nil {
			t.Errorf("%q: page %+v", query, p)
		}
	}
	for _, query := range []string{
		"?after=-1", "?before=0", "?around=0", "?around=-7", "?at=-1", "?limit=0", "?limit=201", "?limit=-5", "?limit=many",
		"?after=1.5", "?after=1e3", "?before=9223372036854775808", "?around=all", "?at=2026-11-21", "?after[$gt]=1&after=x", "?limit=x&limit=1",
	} {
		expectProblem(t, f.get(t, f.visitor, messagesPath(id)+query), http.StatusBadRequest, parley.CodeInvalid)
	}
}

// TestPlacesCannotBeCombined asks for two places in a history, of which there can
// be one. The answer names both.
func TestPlacesCannotBeCombined(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 1)
	places := []string{"after", "before", "around", "at"}
	for i, one := range places {
		for _, other := range places[i+1:] {
			query := fmt.Sprintf("?%s=1&%s=1", one, other)
			p := expectProblem(t, f.get(t, f.visitor, messagesPath(id)+query), http.StatusBadRequest, parley.CodeInvalid)
			if !strings.Contains(p.Detail, one+" and "+other) {
				t.Errorf("%s: %s", query, p.Detail)
			}
		}
	}
}

// TestPagesEndWhereHistoryBegins cuts a conversation.
func TestPagesEndWhereHistoryBegins(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 9)
	if first, err := f.bridge.CutHistory(t.Context(), parley.MessagesOf(f.one.ID, id), 6); err != nil || first != 6 {
		t.Fatalf("cut: %d, %v", first, err)
	}
	for query, want := range map[string][]int64{
		"":                  {6, 7, 8, 9, 10},
		"?after=0&limit=2":  {6, 7},
		"?before=6":         nil,
		"?before=8":         {6, 7},
		"?around=1&limit=2": {6, 7},
		"?at=0&limit=1":     {6},
	} {
		p := decode[page](t, f.expect(t, f.get(t, f.visitor, messagesPath(id)+query), http.StatusOK))
		if diff := cmp.Diff(want, p.seqs(t)); diff != "" || p.First != 6 || p.Head != 10 {
			t.Errorf("%q: %+v\n%s", query, p, diff)
		}
	}
	if s := decode[parley.State](t, f.get(t, f.visitor, "/v1/conversations/"+id)); s.First != 6 || s.Count != 9 {
		t.Errorf("state %+v", s)
	}
}

// TestPagesTellWhatBecameOfMessages edits and deletes messages of a page from far
// behind it.
func TestPagesTellWhatBecameOfMessages(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 9)
	for _, a := range []parley.Draft{
		{Type: parley.EntryEdit, Body: json.RawMessage(`{"seq":2,"text":"first"}`)},
		{Type: parley.EntryEdit, Body: json.RawMessage(`{"seq":2,"text":"now"}`)},
		{Type: parley.EntryDelete, Body: json.RawMessage(`{"seq":3}`)},
		{Type: parley.EntryEdit, Body: json.RawMessage(`{"seq":9,"text":"elsewhere"}`)},
	} {
		a.ID = parley.NewID(parley.PrefixMessage)
		f.expect(t, f.post(t, f.visitor, messagesPath(id), a), http.StatusCreated)
	}
	p := decode[page](t, f.get(t, f.visitor, messagesPath(id)+"?around=2&limit=3"))
	var got []string
	for _, raw := range p.Amendments {
		e := must(decodeEntry(raw))(t)
		got = append(got, fmt.Sprintf("%d %s %s", e.Seq, e.Type, e.Body))
	}
	if diff := cmp.Diff([]string{`12 edit {"seq":2,"text":"now"}`, `13 delete {"seq":3}`}, got); diff != "" {
		t.Errorf("amendments of %v:\n%s", p.seqs(t), diff)
	}
}

func TestReadingNotes(t *testing.T) {
	f := setup(t, nil)
	id := f.open(t, 1)
	path := "/v1/conversations/" + id + "/notes"
	if p := decode[page](t, f.get(t, f.agent(), path)); p.Head != 0 || p.First != 0 || p.Entries == nil {
		t.Errorf("no notes yet: %+v", p)
	}
	f.expect(t, f.post(t, f.agent(), "/v1/conversations/"+id+"/claim", nil), http.StatusOK)
	who := must(f.access.Verify(t.Context(), f.agent().Token))(t)
	for i := range bridge.MaxPageLimit + 10 {
		must(f.bridge.Note(t.Context(), who, id, []parley.Draft{draft(fmt.Sprintf("note %d", i))}))(t)
	}
	for query, want := range map[string][]int64{
		"?limit=2": {209, 210}, "?after=0&limit=2": {1, 2}, "?before=3": {1, 2}, "?around=100&limit=3": {99, 100, 101}, "?at=0&limit=1": {1},
	} {
		p := decode[page](t, f.expect(t, f.get(t, f.agent(), path+query), http.StatusOK))
		if got := p.seqs(t); !slices.Equal(got, want) || p.Head != 210 || p.First != 1 {
			t.Errorf("%q: %v of %d, want %v", query, got, p.Head, want)
		}
	}
	if p := decode[page](t, f.get(t, f.owner(), path+"?limit=200")); len(p.Entries) != 200 {
		t.Errorf("%d notes at the limit", len(p.Entries))
	}
	expectProblem(t, f.get(t, f.agent(), path+"?limit=201"), http.StatusBadRequest, parley.CodeInvalid)
	expectProblem(t, f.get(t, f.visitor, path), http.StatusForbidden, parley.CodeForbidden)
	expectProblem(t, f.get(t, f.colleague(), path), http.StatusNotFound, parley.CodeNotFound)
	for _, raw := range decode[page](t, f.get(t, f.visitor, messagesPath(id)+"?limit=200")).Entries {
		if strings.Contains(string(raw), "note ") {
			t.Errorf("a visitor reads %s", raw)
		}
	}
}
