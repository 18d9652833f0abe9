package search_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"only punctuation", " … ?! \n(*)", ""},
		{"English in other forms", "Refunds, REFUNDED refunding", "refund"},
		{"contractions", "don't can’t we'll the customer's I'm", "cant custom dont i the we"},
		{"an apostrophe that is none of those", "O'Brien l'homme", "brien homm l o"},
		{"accents", "Café Zürich Łódź Straße", "cafe lodz strass zurich"},
		{"Chinese", "退款吗", "吗 款 款吗 退 退款"},
		{"Chinese beside a line end", "退\n款", "款 退"},
		{"Chinese with a zero-width space", "退\u200b款", "款 退 退款"},
		{"full-width", "ＡＢＣ１２３", "123 abc"},
		{"half-width kana", "ｶﾞｽ", "ガ ガス ス"},
		{"Japanese", "東京タワー", "ー タ タワ ワ ワー 京 京タ 東 東京"},
		{"Korean", "환불", "불 환 환불"},
		{"Korean in pieces", "환", "환"},
		{"Thai", "คืน", "ค คื น ื ืน"},
		{"Russian", "Ёлка ЁЛКИ", "елка елки"},
		{"Greek", "Οδός", "οδοσ"},
		{"an order number", "SO-2026/0815", "0815 2026 20260815 so"},
		{"a telephone number", "+86 138-0013-8000", "0013 138 13800138000 8000 86 86138"},
		{"money", "¥1,299.00", "00 1 1299 299 29900"},
		{"an address", "Wang.Lei@example.com", "com exampl lei wang"},
		{"a version", "v2.10.3", "10 2 2103 3 v"},
		{"a product", "iPhone15Pro", "15 iphon pro"},
		{"a code", "3f2a9c1d", "3f2a9c1d"},
		{"mixed", "用微信pay付款", "付 付款 信 pay 微 微信 款 用 用微"},
		{"emoji", "👍🏽 👍 ❤️", "❤ 👍"},
		{"emoji of several", "👩‍👩‍👧 🤷🏻‍♀️ 👩‍💻", "🤷 👩\u200d👩\u200d👧 👩\u200d💻"},
		{"flags", "🇨🇳🇺🇸", "🇨🇳 🇺🇸"},
		{"keycap", "1️⃣", "1"},
		{"bytes that are no text", "a\xffb\xc3", "a b"},
	} {
		got := slices.DeleteFunc(search.Tokens(c.text), func(token string) bool { return strings.Contains(token, " ") })
		want := strings.Fields(c.want)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			t.Errorf("%s: tokens of %q (-want +got):\n%s", c.name, c.text, diff)
		}
	}
}

// Neighbours have a token of their own, so that a phrase of words that everybody
// says is found by something rare.
func TestPairs(t *testing.T) {
	for _, c := range []struct{ name, text, pairs, query, required string }{
		{"words", "please call me", "call me|pleas call", `"please call"`, "pleas call"},
		{"one word", "call", "", "call", "call"},
		{"two terms", "please call me", "call me|pleas call", "please me", "me|pleas"},
		{"a compound", "SO-2026/0815", "2026 0815|so 2026|so 20260815", "SO-2026/0815", "2026 0815|so 2026"},
		{"a grouped number amid words", "to 1,299 or", "1 299|1299 or|299 or|to 1|to 1299", "“to 1299 or”", "1299 or|to 1299"},
		{"grouped twice", "86 138-0013", "138 0013|86 138|86 1380013|86138 0013", "86138", "86138"},
		{"characters that touch", "退款", "", "退款", "退款"},
		{"characters that do not", "退 款", "", "“退 款”", "款|退"},
		{"mixed", "我的iPhone 手机", "iphon 手|的 iphon", "的iPhone手机", "iphon 手|手机|的 iphon"},
		{"emoji", "好👍🎉", "好 👍|👍 🎉", "👍🎉", "👍 🎉"},
	} {
		pairs := slices.DeleteFunc(search.Tokens(c.text), func(token string) bool { return !strings.Contains(token, " ") })
		if got := strings.Join(pairs, "|"); got != c.pairs {
			t.Errorf("%s: pairs of %q are %q, want %q", c.name, c.text, got, c.pairs)
		}
		q, err := search.Parse(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(q.Tokens(), "|"); got != c.required {
			t.Errorf("%s: %q requires %q, want %q", c.name, c.query, got, c.required)
		}
	}
}

// hits shows what a query finds in a text: the parts, between brackets.
func hits(t *testing.T, query, text string) string {
	t.Helper()
	q, err := search.Parse(query)
	if err != nil {
		t.Fatalf("query %q: %v", query, err)
	}
	spans := q.Match(text)
	if spans == nil {
		return ""
	}
	var b strings.Builder
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.Start] + "[" + text[s.Start:s.End] + "]")
		at = s.End
	}
	return b.String() + text[at:]
}

func TestMatch(t *testing.T) {
	for _, c := range []struct{ query, text, want string }{
		{"款", "我要退款", "我要退[款]"},
		{"退款", "我要退款，退款！", "我要[退款]，[退款]！"},
		{"退款", "退一下款", ""},
		{"退款", "退 款", ""},
		{"退，款", "退款和退 款", "[退款]和[退 款]"},
		{"退款 订单", "订单的退款", "[订单]的[退款]"},
		{"退款 订单", "退款", ""},
		{"refund", "It was refunded.", "It was [refunded]."},
		{"ref", "refund", ""},
		{"call me", "me? call!", "[me]? [call]!"},
		{`"call me"`, "me? call!", ""},
		{`“call me”`, "Please call  me", "Please [call  me]"},
		{`"call me`, "please call me", "please [call me]"},
		{"SO-2026/0815", "订单SO-2026/0815到了", "订单[SO-2026/0815]到了"},
		{"so 0815", "SO-2026/0815", "[SO]-2026/[0815]"},
		{"SO20260815", "SO-2026/0815", "[SO-2026/0815]"},
		{"13800138000", "138-0013-8000 or 13800138000", "[138-0013-8000] or [13800138000]"},
		{"0013-8000", "138-0013-8000", "138-[0013-8000]"},
		{"1299", "¥1,299.00", "¥[1,299].00"},
		{"iphone15", "iPhone 15", "[iPhone 15]"},
		{"iphone", "我的iPhone15Pro坏了", "我的[iPhone]15Pro坏了"},
		{"dont", "I don't", "I [don't]"},
		{"customer", "a customer’s", "a [customer’s]"},
		{"👍", "好👍🏽👍", "好[👍🏽👍]"},
		{"👨", "👨‍👩‍👧", ""},
		{"🤷", "🤷🏻‍♀️?", "[🤷🏻‍♀️]?"},
		{"ａｂｃ", "abc", "[abc]"},
		{"ガス", "ｶﾞｽ", "[ｶﾞｽ]"},
		{"cafe", "cafe\u0301 café", "[cafe\u0301] [café]"},
		{"fi", "ﬁ", "[ﬁ]"},
		{"*", "", ""},
		{"a*", "a*b", "[a]*b"},
	} {
		if c.query == "*" {
			continue
		}
		if got := hits(t, c.query, c.text); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.query, c.text, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"", "nothing to search for"},
		{" *?!\"\" ", "nothing to search for"},
		{"a\xff", "not valid UTF-8"},
		{strings.Repeat("a", 201), "201 characters, at most 200"},
		{"a b c d e f g h i j k l m n o p q", "17 terms, at most 16"},
		{strings.Repeat("退款", 40), "79 words or pairs"},
		{strings.Repeat("ﷺ", 100), "words or pairs"},
	} {
		_, err := search.Parse(c.query)
		if e := parley.ErrorOf(err); e == nil || e.Code != parley.CodeInvalid || !strings.Contains(e.Message, c.want) {
			t.Errorf("%q: %v, want %q", c.query, err, c.want)
		}
	}
}

// talk draws texts in which queries are found by chance.
func talk() *rapid.Generator[string] {
	words := []string{
		"退", "款", "退款", "订单", "Refund", "refunds", "don't", "SO-2026/0815", "138", "0013", "-", " ", " ", " ", ",", "\n", "\"", "1,299",
		"👍🏽", "👍", "👩‍👩‍👧", "\u200d", "♀", "🇨🇳", "🇨", "ｶﾞ", "ー", "คื", "e\u0301", "ﬁ", "İ", "ß", "’s", "v2.10", "\ufe0f", "ﷺ", "\xff", "a1b2c3d4", "한", "ᄒ", "ᅡ",
	}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(words), rapid.StringN(0, 3, -1)), 0, 30).Draw(t, "words"), "")
	})
}

// An index over Tokens misses nothing that Match finds, and Match shows where.
func TestTokensCoverWhatMatches(t *testing.T) {
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		text := talk().Draw(t, "text")
		query := rapid.OneOf(part(text), talk()).Draw(t, "query")
		q, err := search.Parse(query)
		if err != nil {
			return
		}
		tokens := search.Tokens(text)
		spans := q.Match(text)
		if spans == nil {
			return
		}
		matched++
		for _, token := range q.Tokens() {
			if _, found := slices.BinarySearch(tokens, token); !found {
				t.Fatalf("query %q matches %q without its token %q; tokens %q", query, text, token, tokens)
			}
		}
		end := 0
		for i, s := range spans {
			if s.Start < end || i > 0 && s.Start == end || s.End <= s.Start || s.End > len(text) {
				t.Fatalf("spans %v of %q", spans, text)
			}
			end = s.End
		}
	})
	if matched == 0 {
		t.Error("nothing matched")
	}
}

// part draws a part of a text.
func part(text string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		runes := []rune(text)
		i := rapid.IntRange(0, len(runes)).Draw(t, "from")
		return string(runes[i:rapid.IntRange(i, min(len(runes), i+20)).Draw(t, "to")])
	})
}

// A text that is searched for as it is given is found, at any place.
func TestWholeTextsAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(talk().Draw(t, "text"), "")
		q, err := search.Parse(`"` + strings.ReplaceAll(text, `"`, " ") + `"`)
		if err == nil && q.Match("so: "+text+" …") == nil {
			t.Fatalf("%q is not found in itself", text)
		}
	})
}

func TestTokensAreWholeAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(talk(), rapid.String()).Draw(t, "text")
		tokens := search.Tokens(text)
		if len(tokens) > 4*len(text) || !slices.IsSorted(tokens) || len(slices.Compact(slices.Clone(tokens))) != len(tokens) {
			t.Fatalf("tokens of %q: %q", text, tokens)
		}
		for _, token := range tokens {
			if n := utf8.RuneCountInString(token); n == 0 || n > search.MaxTokenRunes || !utf8.ValidString(token) {
				t.Fatalf("token %q of %q", token, text)
			}
		}
	})
}
