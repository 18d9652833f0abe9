package api

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
)

const maxEntriesPage = 200

// ListMessages reads a page of a conversation.
func (r rest) ListMessages(ctx context.Context, q ListMessagesRequestObject) (ListMessagesResponseObject, error) {
	p := q.Params
	page, err := r.history(ctx, q.Id, false, position{after: p.After, before: p.Before, around: p.Around, at: p.At, limit: p.Limit})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return ListMessages200JSONResponse{page}, nil
}

// ListNotes reads a page of the internal notes about a conversation.
func (r rest) ListNotes(ctx context.Context, q ListNotesRequestObject) (ListNotesResponseObject, error) {
	p := q.Params
	page, err := r.history(ctx, q.Id, true, position{after: p.After, before: p.Before, around: p.Around, at: p.At, limit: p.Limit})
	if err != nil {
		return nil, fmt.Errorf("read notes: %w", err)
	}
	return ListNotes200JSONResponse{page}, nil
}

// position is where in a history a page is, as clients say it.
type position struct {
	after, before, around, at *int64
	limit                     *int
}

// query checks p. One of its parts at most may be given.
func (p position) query() (q parley.HistoryQuery, err error) {
	for _, part := range []struct {
		from  parley.HistoryFrom
		value *int64
		least int64
	}{
		{parley.HistoryAfter, p.after, 0}, {parley.HistoryBefore, p.before, 1}, {parley.HistoryAround, p.around, 1}, {parley.HistoryAt, p.at, 0},
	} {
		if part.value == nil {
			continue
		}
		if q.From != "" {
			return q, parley.Errorf(parley.CodeInvalid, "%s and %s cannot be combined: give one of after, before, around and at", q.From, part.from)
		}
		if *part.value < part.least {
			return q, parley.Errorf(parley.CodeInvalid, "%s is %d or more", part.from, part.least)
		}
		q.From, q.Value = part.from, *part.value
	}
	q.Limit, err = pageLimit(p.limit, maxEntriesPage)
	return q, err
}

func (r rest) history(ctx context.Context, id string, notes bool, p position) (HistoryJSONResponse, error) {
	who, err := checked(ctx, id)
	if err != nil {
		return HistoryJSONResponse{}, err
	}
	q, err := p.query()
	if err != nil {
		return HistoryJSONResponse{}, err
	}
	q.Notes = notes
	found, err := r.options.Log.History(ctx, who, id, q)
	if err != nil {
		return HistoryJSONResponse{}, err
	}
	epoch := r.options.Log.Epoch()
	return HistoryJSONResponse{
		Epoch: epoch, Head: found.Head, First: found.First,
		Entries: wireEntries(found.Entries, epoch), Amendments: wireEntries(found.Amendments, epoch),
	}, nil
}

func wireEntries(entries []parley.Entry, epoch string) []Entry {
	wire := make([]Entry, len(entries))
	for i := range entries {
		wire[i] = entries[i].AppendJSON(nil, epoch)
	}
	return wire
}
