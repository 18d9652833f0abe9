package search_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/bridge/search"
)

// shown writes a snippet with its hits between brackets.
func shown(s search.Snippet) string {
	var b strings.Builder
	for _, p := range s {
		if p.Hit {
			b.WriteString("[" + p.Text + "]")
			continue
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

func TestSnippet(t *testing.T) {
	han := strings.Repeat("天地玄黄宇宙洪荒", 20)
	for _, c := range []struct {
		name, query, text string
		runes             int
		want              string
	}{
		{"a short text is whole", "退款", "我要退款。", 20, "我要[退款]。"},
		{"in the middle", "退款", han + "退款" + han, 16, "…宇宙洪荒[退款]天地玄黄宇宙洪荒天地…"},
		{"at the beginning", "退款", "退款" + han, 8, "[退款]天地玄黄宇宙…"},
		{"at the end", "退款", han + "退款", 8, "…玄黄宇宙洪荒[退款]"},
		{"words are not cut", "refund", "Unfortunately nobody could tell me where my refund had gone meanwhile, I am sorry to say.", 20, "…where my [refund] had gone…"},
		{"where most of it is", "a", "a" + han + "a a a" + han, 12, "…宙洪荒[a] [a] [a]天地玄黄…"},
		{"longer than all", "“" + strings.Repeat("天地玄黄宇宙洪荒", 3) + "”", han, 8, "[天地玄黄宇宙洪荒]…"},
		{"an emoji of several is not cut", "退款", "👩‍👩‍👧👩‍👩‍👧退款👍🏽👍🏽" + han, 6, "…👩‍👩‍👧[退款]👍🏽👍🏽…"},
		{"without a hit", "", han, 4, "天地玄黄…"},
	} {
		var spans []search.Span
		if c.query != "" {
			q, err := search.Parse(c.query)
			if err != nil {
				t.Fatal(err)
			}
			spans = q.Match(c.text)
		}
		if got := shown(search.NewSnippet(c.text, spans, c.runes)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A snippet is a part of its text and shows a hit; it is about as long as asked
// for.
func TestSnippetIsPartOfTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(strings.Join(rapid.SliceOfN(talk(), 1, 6).Draw(t, "text"), " "), "?")
		q, err := search.Parse(part(text).Draw(t, "query"))
		if err != nil {
			return
		}
		spans := q.Match(text)
		runes := rapid.IntRange(1, 60).Draw(t, "runes")
		s := search.NewSnippet(text, spans, runes)
		whole := s.String()
		if !utf8.ValidString(whole) || !strings.Contains(text, strings.TrimSuffix(strings.TrimPrefix(whole, "…"), "…")) {
			t.Fatalf("snippet %q of %q", whole, text)
		}
		if n := utf8.RuneCountInString(whole); n > runes+300 {
			t.Fatalf("%d runes instead of %d", n, runes)
		}
		hit := false
		for i, p := range s {
			hit = hit || p.Hit
			if p.Text == "" || i > 0 && s[i-1].Hit == p.Hit {
				t.Fatalf("pieces %q", s)
			}
		}
		if hit != (spans != nil) {
			t.Fatalf("hit %v, spans %v in %q", hit, spans, s)
		}
	})
}
