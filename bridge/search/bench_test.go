package search_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/search"
)

// The longest messages that there are, each as bad as its kind gets.
func BenchmarkLongest(b *testing.B) {
	for _, c := range []struct{ name, unit, query string }{
		{"ASCII", "a", "a"},
		{"words", "Refunds don't ", "refund dont"},
		{"codes", "1a", "1a"},
		{"numbers", "1-", "1"},
		{"spaced numbers", "123 456,", "123456"},
		{"Han", "的", strings.Repeat("的", 64)},
		{"kana to combine", "ｶﾞ", "ガガ"},
		{"marks", "\u0301", "a"},
		{"marked", "e\u0301", "e"},
		{"flags", "🇨🇳🇺🇸", "🇨🇳"},
		{"regional indicators", "🇨", "🇨🇨"},
		{"joined emoji", "👩\u200d", "👩"},
		{"ligatures", "ﷺ", "a"},
		{"apostrophes", "a't's", "a"},
		{"no text", "\xff", "a"},
		{"spans", "的 a ", "的 a"},
	} {
		text := strings.Repeat(c.unit, parley.MaxBodyBytes/len(c.unit))
		q, err := search.Parse(c.query)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("tokens/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				search.Tokens(text)
			}
		})
		b.Run("match/"+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				search.NewSnippet(text, q.Match(text), 120)
			}
		})
	}
}

func BenchmarkUsual(b *testing.B) {
	const text = "您好，我的订单 SO-2026/0815 昨天申请了退款，refund 什么时候到账？Thanks 👍🏽"
	q, err := search.Parse("退款 refund")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("tokens", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			search.Tokens(text)
		}
	})
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q.Match(text)
		}
	})
}
