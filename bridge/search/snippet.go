package search

import (
	"sort"
	"unicode/utf8"
)

// Snippet is the part of a text that shows why it was found, as pieces in order;
// "…" stands for what was left out before and behind. It is plain text.
type Snippet []Piece

// Piece is a part of a snippet. Hit tells that the query is found there.
type Piece struct {
	Text string `json:"text"`
	Hit  bool   `json:"hit,omitempty"`
}

// String returns the snippet without its hits.
func (s Snippet) String() string {
	var text string
	for _, p := range s {
		text += p.Text
	}
	return text
}

// NewSnippet returns about that many runes of text, at least 1, where most of the spans are
// that Match returned for it; the first such place. Nothing that is seen as one
// character is cut. A text that is short enough is shown whole.
func NewSnippet(text string, spans []Span, runes int) Snippet {
	runes = max(1, runes)
	from, to := window(text, spans, runes)
	var s Snippet
	if from > 0 {
		s = append(s, Piece{Text: "…"})
	}
	at := from
	for _, span := range spans {
		start, end := max(span.Start, from), min(span.End, to)
		if start >= end {
			continue
		}
		s = s.with(text[at:start], false).with(text[start:end], true)
		at = end
	}
	s = s.with(text[at:to], false)
	if to < len(text) {
		s = s.with("…", false)
	}
	return s
}

// with appends a piece, or its text to the last one if that is alike.
func (s Snippet) with(text string, hit bool) Snippet {
	if text == "" {
		return s
	}
	if n := len(s); n > 0 && s[n-1].Hit == hit {
		s[n-1].Text += text
		return s
	}
	return append(s, Piece{text, hit})
}

// wordRoom is how many runes a snippet may be longer at each end in order not to
// cut a word.
const wordRoom = 12

// window returns the bytes of text that a snippet shows.
func window(text string, spans []Span, runes int) (from, to int) {
	starts := make([]int, 0, len(text)) // of the runes
	for i := range text {
		starts = append(starts, i)
	}
	if len(starts) <= runes {
		return 0, len(text)
	}
	runeAt := func(i int) int { return sort.SearchInts(starts, i) }
	first := max(0, runeAt(densest(spans, runeAt, runes))-runes/4)
	first = min(first, len(starts)-runes)
	last := first + runes
	for n := 0; n < wordRoom && first > 0 && inWord(text, starts[first]); n++ {
		first--
	}
	for n := 0; n < wordRoom && last < len(starts) && inWord(text, starts[last]); n++ {
		last++
	}
	if to = len(text); last < len(starts) {
		to = clusterEnd(text, starts[last])
	}
	return clusterStart(text, starts[first]), to
}

// densest returns where most of the spans begin within three quarters of runes.
func densest(spans []Span, runeAt func(int) int, runes int) (at int) {
	most, end := 0, 0
	for i, s := range spans {
		limit := runeAt(s.Start) + max(1, runes*3/4)
		for end < len(spans) && runeAt(spans[end].Start) < limit {
			end++
		}
		if end-i > most {
			most, at = end-i, s.Start
		}
	}
	return at
}

// inWord reports whether the byte at i is inside a word or number.
func inWord(text string, i int) bool {
	a, _ := utf8.DecodeLastRuneInString(text[:i])
	b, _ := utf8.DecodeRuneInString(text[i:])
	spaced := func(c class) bool { return c == alpha || c == digit }
	return spaced(classOf(a)) && spaced(classOf(b))
}
