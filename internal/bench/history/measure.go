package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/corpus"
)

const (
	pageEntries   = 50
	searchEntries = 20

	longest = 0 // the conversation with a fifth of all messages
)

func supervisor() parley.Identity {
	return parley.Identity{Site: site, User: "agt_supervisor", Device: "dev_a", Role: parley.RoleSupervisor}
}

func (s *Stage) measure(ctx context.Context, o Options) error {
	if err := s.pages(ctx, o); err != nil {
		return fmt.Errorf("measure pages: %w", err)
	}
	if err := s.searches(ctx, o); err != nil {
		return fmt.Errorf("measure searches: %w", err)
	}
	for _, m := range s.Measures {
		o.say("%-46s p50 %9s  p99 %9s  found %5.1f  partial %d", m.Name, millis(m.P50), millis(m.P99), m.Found, m.Partial)
	}
	return nil
}

// pages measures pages of the longest conversation.
func (s *Stage) pages(ctx context.Context, o Options) error {
	id, who := conversationID(longest), supervisor()
	newest, err := o.Archive.History(ctx, who, id, parley.HistoryQuery{Limit: pageEntries})
	if err != nil {
		return err
	}
	oldest, err := o.Archive.History(ctx, who, id, parley.HistoryQuery{From: parley.HistoryAfter, Limit: 1})
	if err != nil {
		return err
	}
	from, to := oldest.Entries[0].At, newest.Entries[0].At
	r := rand.New(rand.NewPCG(o.Seed, 1))
	anywhere := func() int64 { return 1 + r.Int64N(newest.Head) }
	for _, page := range []struct {
		name  string
		query func() parley.HistoryQuery
	}{
		{"newest page", func() parley.HistoryQuery { return parley.HistoryQuery{} }},
		{"page in the middle", func() parley.HistoryQuery {
			return parley.HistoryQuery{From: parley.HistoryBefore, Value: newest.Head/2 + r.Int64N(newest.Head/4)}
		}},
		{"oldest page", func() parley.HistoryQuery { return parley.HistoryQuery{From: parley.HistoryAfter} }},
		{"page around any message", func() parley.HistoryQuery { return parley.HistoryQuery{From: parley.HistoryAround, Value: anywhere()} }},
		{"page from any time on", func() parley.HistoryQuery {
			return parley.HistoryQuery{From: parley.HistoryAt, Value: from + r.Int64N(to-from+1)}
		}},
	} {
		took := make([]time.Duration, o.Pages)
		for i := range took {
			q := page.query()
			q.Limit = pageEntries
			start := time.Now()
			p, err := o.Archive.History(ctx, who, id, q)
			took[i] = time.Since(start)
			if err != nil {
				return fmt.Errorf("%s: %w", page.name, err)
			}
			if len(p.Entries) != pageEntries {
				return fmt.Errorf("%s: %d entries instead of %d", page.name, len(p.Entries), pageEntries)
			}
		}
		s.add(Measure{Name: page.name, Limit: pageLimit}, took)
	}
	return nil
}

// searches measures the first page of what every class of queries finds, for
// somebody who may read all, and the classes that find most for others.
func (s *Stage) searches(ctx context.Context, o Options) error {
	classes := map[corpus.Class][]string{}
	for _, q := range corpus.New(o.Seed).Queries(o.Queries, s.Messages) {
		classes[q.Class] = append(classes[q.Class], q.Text)
	}
	for _, class := range corpus.Classes() {
		if err := s.search(ctx, o, string(class), supervisor(), classes[class], parley.SearchRequest{}); err != nil {
			return err
		}
	}
	agent := parley.Identity{Site: site, User: agentID(3), Device: "dev_a", Role: parley.RoleAgent}
	visitor := parley.Identity{Site: site, User: visitorID(longest), Device: "dev_a", Role: parley.RoleVisitor}
	small := parley.Identity{Site: site, User: visitorID(7), Device: "dev_a", Role: parley.RoleVisitor}
	for _, c := range []struct {
		name  string
		who   parley.Identity
		class corpus.Class
		q     parley.SearchRequest
	}{
		{"two Chinese characters, an agent", agent, corpus.TwoCharacters, parley.SearchRequest{}},
		{"very frequent, an agent", agent, corpus.Frequent, parley.SearchRequest{}},
		{"two Chinese characters, a visitor of the longest", visitor, corpus.TwoCharacters, parley.SearchRequest{}},
		{"very frequent, a visitor of another", small, corpus.Frequent, parley.SearchRequest{}},
		{"English words, in one conversation", supervisor(), corpus.English, parley.SearchRequest{Conversation: conversationID(longest)}},
		{"very frequent, of an agent's conversations", supervisor(), corpus.Frequent, parley.SearchRequest{Agent: agentID(3)}},
	} {
		if err := s.search(ctx, o, c.name, c.who, classes[c.class], c.q); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) search(ctx context.Context, o Options, name string, who parley.Identity, queries []string, q parley.SearchRequest) error {
	m := Measure{Name: name, Limit: searchLimit}
	took := make([]time.Duration, len(queries))
	for i, text := range queries {
		q.Text, q.Limit = text, searchEntries
		start := time.Now()
		page, err := o.Archive.Search(ctx, who, q)
		took[i] = time.Since(start)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if page.Partial {
			m.Partial++
		}
		m.Found += float64(len(page.Hits)) / float64(len(queries))
	}
	s.add(m, took)
	return nil
}

func (s *Stage) add(m Measure, took []time.Duration) {
	slices.Sort(took)
	m.P50, m.P99 = took[len(took)/2], took[len(took)*99/100]
	s.Measures = append(s.Measures, m)
}
