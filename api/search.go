package api

import (
	"context"
	"fmt"
	"regexp"

	"github.com/parley-chat/parley"
)

const (
	defaultSearchPage = 20
	maxSearchPage     = 100
)

// typeName is how types of entries are written.
var typeName = regexp.MustCompile(`^[a-z]{1,16}$`)

// Search finds messages and notes that the caller may read.
func (r rest) Search(ctx context.Context, q SearchRequestObject) (SearchResponseObject, error) {
	who, err := identityOf(ctx)
	if err != nil {
		return nil, err
	}
	request, err := searchRequest(q.Params)
	if err != nil {
		return nil, err
	}
	found, err := r.options.Log.Search(ctx, who, request)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	page := Search200JSONResponse{
		Epoch: r.options.Log.Epoch(), Hits: found.Hits, Partial: found.Partial, Indexing: found.Indexing,
	}
	if page.Hits == nil {
		page.Hits = []SearchHit{}
	}
	if found.Next != "" {
		page.NextCursor = &found.Next
	}
	return page, nil
}

func searchRequest(p SearchParams) (parley.SearchRequest, error) {
	request := parley.SearchRequest{
		Text: p.Q, In: value(p.In), Conversation: value(p.Conversation), Visitor: value(p.Visitor), Agent: value(p.Agent),
		Sender: value(p.Sender), Type: parley.EntryType(value(p.Type)), From: value(p.From), To: value(p.To),
		Cursor: value(p.Cursor), Limit: defaultSearchPage,
	}
	for _, id := range []struct {
		name string
		id   *string
	}{{"conversation", p.Conversation}, {"visitor", p.Visitor}, {"agent", p.Agent}, {"sender", p.Sender}} {
		if id.id != nil && !parley.ValidID(*id.id) {
			return request, parley.Errorf(parley.CodeInvalid, "%s is not an id: 1 to 64 characters of A-Z a-z 0-9 - _", id.name)
		}
	}
	if p.Type != nil && !typeName.MatchString(*p.Type) {
		return request, parley.Errorf(parley.CodeInvalid, "type is the type of an entry, as text: 1 to 16 characters of a-z")
	}
	if p.From != nil && *p.From < 1 || p.To != nil && *p.To < 1 {
		return request, parley.Errorf(parley.CodeInvalid, "from and to are Unix milliseconds above 0")
	}
	if p.Limit != nil {
		request.Limit = *p.Limit
	}
	if request.Limit < 1 || request.Limit > maxSearchPage {
		return request, parley.Errorf(parley.CodeInvalid, "limit is 1 to %d", maxSearchPage)
	}
	return request, nil
}
