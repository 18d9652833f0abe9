package bridge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
)

// Limits of a search.
const (
	DefaultSearchLimit = 20
	MaxSearchLimit     = 100

	searchPage   = 500 // documents that are asked for at once, at most
	snippetRunes = 160
	endOfTime    = 1 << 53 // no server time is later; stores may add to it
)

// Search returns messages and notes that who may read now and that match, newest
// first. A message is found by the text that it has now. What was acknowledged
// before the call is found, unless SearchPage.Indexing says otherwise.
//
// It takes about Options.SearchTime at most, then the page is SearchPage.Partial. Of one user
// SearchesAtOnce run at a time, and a few of all together: what is beyond that is
// refused with parley.CodeRateLimited. What cannot be searched for, and a cursor
// that is none, is refused with parley.CodeInvalid.
func (b *Bridge) Search(ctx context.Context, who parley.Identity, r parley.SearchRequest) (parley.SearchPage, error) {
	f, err := newFinding(b, who, r)
	if err != nil || len(f.query.Kinds) == 0 {
		return parley.SearchPage{}, err
	}
	limited, cancel := context.WithTimeout(ctx, b.searches.time)
	defer cancel()
	leave, err := b.searches.enter(limited, who)
	if err != nil {
		b.stats.searchesLimited.Add(1)
		return parley.SearchPage{}, err
	}
	defer leave()
	b.stats.searches.Add(1)
	err = f.run(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = f.outOfTime(ctx)
	}
	if err != nil {
		return parley.SearchPage{}, fmt.Errorf("search: %w", err)
	}
	if err := f.checkAgain(ctx); err != nil {
		return parley.SearchPage{}, fmt.Errorf("search: %w", err)
	}
	if f.page.Partial {
		b.stats.searchesPartial.Add(1)
	}
	return f.page, nil
}

// finding is one search on its way.
type finding struct {
	*Bridge
	who     parley.Identity
	request parley.SearchRequest
	text    search.Query
	query   DocumentQuery
	limit   int

	known  map[string]parley.Conversation // those that were looked at
	page   parley.SearchPage
	last   Place // of the last hit, or where the search began
	passed Place // what was looked at last
	looked bool  // at anything
}

func newFinding(b *Bridge, who parley.Identity, r parley.SearchRequest) (*finding, error) {
	f := &finding{
		Bridge: b, who: who, request: r, limit: clamp(r.Limit, DefaultSearchLimit, MaxSearchLimit),
		known: map[string]parley.Conversation{}, last: Place{At: math.MaxInt64},
	}
	var err error
	if f.text, err = search.Parse(r.Text); err != nil {
		return nil, err
	}
	f.query = DocumentQuery{
		Site: who.Site, Tokens: f.text.Tokens(),
		Conversation: r.Conversation, Visitor: r.Visitor, Sender: r.Sender, From: r.From, To: min(r.To, endOfTime),
	}
	if f.query.Kinds, err = kindsFor(who, r.In); err != nil {
		return nil, err
	}
	if who.Role == parley.RoleVisitor {
		if r.Visitor != "" && r.Visitor != who.User {
			f.query.Kinds = nil
		}
		f.query.Visitor = who.User
	}
	if r.Cursor != "" {
		f.last, err = parsePlace(r.Cursor)
	}
	f.passed, f.query.Before = f.last, f.last
	return f, err
}

// kindsFor returns the kinds of streams that who may search; none if nothing can
// be found.
func kindsFor(who parley.Identity, in parley.TopicKind) ([]parley.TopicKind, error) {
	switch {
	case in != "" && in != parley.TopicMessages && in != parley.TopicNotes:
		return nil, parley.Errorf(parley.CodeInvalid, "in is messages or notes")
	case who.Role.Staff() && in == "":
		return []parley.TopicKind{parley.TopicMessages, parley.TopicNotes}, nil
	case who.Role.Staff():
		return []parley.TopicKind{in}, nil
	case in == parley.TopicNotes:
		return nil, parley.Errorf(parley.CodeForbidden, "internal notes are for the site's staff")
	case who.Role == parley.RoleVisitor:
		return []parley.TopicKind{parley.TopicMessages}, nil
	}
	return nil, nil
}

// run looks through documents until the page is full, there are no more, or the
// time is up.
func (f *finding) run(ctx context.Context) error {
	if err := f.settle(ctx); err != nil {
		return f.cut(err)
	}
	for more := true; more; {
		f.query.Limit = min(max(f.limit, 2*f.query.Limit), searchPage)
		found, err := f.store.FindDocuments(ctx, f.query)
		if err != nil {
			return f.cut(err)
		}
		for _, d := range found {
			if err := f.look(ctx, d); err != nil {
				return f.cut(err)
			}
			f.passed, f.looked = d.Place, true
			if len(f.page.Hits) == f.limit {
				f.page.Next = formatPlace(f.last)
				return nil
			}
		}
		f.query.Before, more = f.passed, len(found) == f.query.Limit
	}
	return nil
}

// outOfTime lets a search that has taken too long end with a page that is partial.
// One that has come across nothing fails if the store is away: its page would send
// the reader to the next one for ever.
func (f *finding) outOfTime(ctx context.Context) error {
	if f.looked {
		return nil
	}
	return f.store.Ready(ctx)
}

// settle lets what was acknowledged become findable, and what was decided be
// known.
func (f *finding) settle(ctx context.Context) error {
	if err := f.follower.barrier(ctx); err != nil {
		return fmt.Errorf("wait for the log: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.searches.time/4)
	defer cancel()
	f.page.Indexing = !f.indexer.settle(ctx)
	return nil
}

// cut ends the page before it is full. The next one begins behind the last hit, or
// later: with the time of what was looked at last, since a reader need not know
// where something is that is not for them.
func (f *finding) cut(err error) error {
	next := f.last
	if at := (Place{At: f.passed.At}); f.passed.At < math.MaxInt64 {
		if at.At++; next.Compare(at) < 0 {
			next = at
		}
	}
	f.page.Partial, f.page.Next = true, formatPlace(next)
	return err
}

// look takes a document into the page if it is a hit.
func (f *finding) look(ctx context.Context, d Found) error {
	_, id, kind := d.Stream.About()
	c, err := f.conversation(ctx, id)
	if err != nil {
		return err
	}
	if !f.may(kind, c) || f.request.Agent != "" && c.Assignee != f.request.Agent {
		return nil
	}
	message, text, edited, err := f.read(ctx, d)
	if err != nil || message == nil || f.request.Type != "" && message.Type != f.request.Type {
		return err
	}
	spans := f.text.Match(text)
	if spans == nil {
		return nil
	}
	f.last = d.Place
	f.page.Hits = append(f.page.Hits, parley.SearchHit{
		Conversation: id, Visitor: parley.Person{ID: c.Visitor, Name: c.VisitorName}, In: kind,
		Seq: message.Seq, Sender: message.Sender, Role: message.Role, Type: message.Type, At: message.At, Edited: edited,
		Snippet: pieces(search.NewSnippet(text, spans, snippetRunes)),
	})
	return nil
}

// conversation returns a conversation of the searcher's site as it is now, or was
// when it was looked at first.
func (f *finding) conversation(ctx context.Context, id string) (parley.Conversation, error) {
	if c, ok := f.known[id]; ok {
		return c, nil
	}
	c, err := f.folds.peek(ctx, f.who.Site, id)
	if err != nil {
		return parley.Conversation{}, fmt.Errorf("read conversation: %w", err)
	}
	f.known[id] = c
	return c, nil
}

// may reports whether the searcher may read a stream of c.
func (f *finding) may(kind parley.TopicKind, c parley.Conversation) bool {
	action := parley.ActionRead
	if kind == parley.TopicNotes {
		action = parley.ActionNote
	}
	return f.who.MayIn(action, c) == nil
}

// read returns a message and the text that it has now, nil if it was deleted.
func (f *finding) read(ctx context.Context, d Found) (message *parley.Entry, text string, edited bool, err error) {
	page, err := f.store.Read(ctx, d.Stream, d.Seq-1, 1)
	if err != nil {
		return nil, "", false, fmt.Errorf("read what was found: %w", err)
	}
	if len(page) == 0 || page[0].Seq != d.Seq || page[0].Redacted || !page[0].Type.Message() {
		return nil, "", false, nil
	}
	message = &page[0]
	amended, err := f.store.Amendments(ctx, d.Stream, d.Seq, d.Seq, math.MaxInt64)
	switch {
	case err != nil:
		return nil, "", false, fmt.Errorf("read what became of it: %w", err)
	case len(amended) == 0:
		return message, textOf(message), false, nil
	case amended[0].Type == parley.EntryEdit:
		return message, textOf(&amended[0]), true, nil
	}
	return nil, "", false, nil
}

func pieces(s search.Snippet) []parley.SnippetPiece {
	list := make([]parley.SnippetPiece, len(s))
	for i, p := range s {
		list[i] = parley.SnippetPiece(p)
	}
	return list
}

// checkAgain drops what the searcher has lost the right to read during the search.
func (f *finding) checkAgain(ctx context.Context) error {
	if err := f.follower.barrier(ctx); err != nil {
		return fmt.Errorf("wait for the log: %w", err)
	}
	kept := f.page.Hits[:0]
	clear(f.known)
	for _, h := range f.page.Hits {
		c, err := f.conversation(ctx, h.Conversation)
		if err != nil {
			return err
		}
		if f.may(h.In, c) {
			kept = append(kept, h)
		}
	}
	f.page.Hits = kept
	return nil
}

// A cursor names the place of a hit, or only a time. It is opaque to clients, so
// that a later version may page by something else.
func formatPlace(p Place) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%s", p.At, p.Seq, p.Stream))
}

func parsePlace(cursor string) (p Place, err error) {
	plain, decodeErr := base64.RawURLEncoding.DecodeString(cursor)
	at, rest, _ := strings.Cut(string(plain), ".")
	seq, stream, ok := strings.Cut(rest, ".")
	p.Stream = parley.Stream(stream)
	var atErr, seqErr error
	p.At, atErr = strconv.ParseInt(at, 10, 64)
	p.Seq, seqErr = strconv.ParseInt(seq, 10, 64)
	err = errors.Join(decodeErr, atErr, seqErr)
	if _, id, _ := p.Stream.About(); err != nil || !ok || p.At <= 0 || p.Seq < 0 || stream != "" && id == "" {
		return Place{}, parley.Errorf(parley.CodeInvalid, "cursor is not one that a search returned")
	}
	return p, nil
}
