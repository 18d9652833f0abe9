package search_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
)

func seeds(f *testing.F, add func(text string)) {
	f.Helper()
	for _, s := range []string{
		"", "退款 SO-2026/0815 “please call me”", "don't 138-0013-8000 ¥1,299.00", "👩‍👩‍👧🤷🏻‍♀️🇨🇳🇨\u200d1️⃣", "ｶﾞｽ คืน 한ᄒ\u1161 ﷺ ﬁ İß",
		"\xff\xc3\x28a\u0301\u0301\u0301", strings.Repeat("\u0301", 100), strings.Repeat("🇨", 33), strings.Repeat("1-", 40),
	} {
		add(s)
	}
}

func FuzzTokens(f *testing.F) {
	seeds(f, func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, text string) {
		tokens := search.Tokens(text)
		if len(tokens) > 4*len(text) {
			t.Fatalf("%d tokens of %d bytes", len(tokens), len(text))
		}
		for _, token := range tokens {
			if n := utf8.RuneCountInString(token); n == 0 || n > search.MaxTokenRunes || !utf8.ValidString(token) {
				t.Fatalf("token %q of %q", token, text)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	seeds(f, func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, query string) {
		q, err := search.Parse(query)
		if err != nil {
			if e := parley.ErrorOf(err); e.Code != parley.CodeInvalid {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		if n := len(q.Tokens()); n == 0 || n > search.MaxQueryTokens {
			t.Fatalf("%d tokens of %q", n, query)
		}
	})
}

func FuzzMatch(f *testing.F) {
	seeds(f, func(s string) { f.Add(s, s+" 退款 "+s, 20) })
	f.Fuzz(func(t *testing.T, query, text string, runes int) {
		q, err := search.Parse(query)
		if err != nil {
			return
		}
		spans := q.Match(text)
		tokens := search.Tokens(text)
		for _, token := range q.Tokens() {
			if _, found := slices.BinarySearch(tokens, token); spans != nil && !found {
				t.Fatalf("query %q matches %q without its token %q", query, text, token)
			}
		}
		if got := search.NewSnippet(text, spans, runes).String(); utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("snippet %q of %q", got, text)
		}
	})
}
