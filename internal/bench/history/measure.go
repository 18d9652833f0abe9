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
	head, err := o.Archive.Head(ctx, parley.MessagesOf(site, conversationID(longest)))
	if err != nil {
		return fmt.Errorf("find the newest page: %w", err)
	}
	if err := s.pages(ctx, o, head); err != nil {
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
func (s *Stage) pages(ctx context.Context, o Options, head int64) error {
	r := rand.New(rand.NewPCG(o.Seed, 1))
	id, who := conversationID(longest), supervisor()
	anywhere := func() int64 { return r.Int64N(head-pageEntries) + pageEntries/2 + 1 }
	for _, page := range []struct {
		name string
		at   func() (parley.HistoryFrom, int64)
	}{
		{"newest page", func() (parley.HistoryFrom, int64) { return parley.HistoryBefore, head + 1 }},
		{"page in the middle", func() (parley.HistoryFrom, int64) {
			return parley.HistoryBefore, min(max(head/2-r.Int64N(1000), 0)+pageEntries, head) + 1
		}},
		{"oldest page", func() (parley.HistoryFrom, int64) { return parley.HistoryAfter, 0 }},
		{"page around any message", func() (parley.HistoryFrom, int64) { return parley.HistoryAround, anywhere() }},
	} {
		took := make([]time.Duration, o.Pages)
		for i := range took {
			from, seq := page.at()
			start := time.Now()
			got, err := o.Archive.History(ctx, who, id, parley.HistoryQuery{From: from, Value: seq, Limit: pageEntries})
			took[i] = time.Since(start)
			if err != nil {
				return err
			}
			if len(got.Entries) != pageEntries {
				return fmt.Errorf("%s: %d entries instead of %d", page.name, len(got.Entries), pageEntries)
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
