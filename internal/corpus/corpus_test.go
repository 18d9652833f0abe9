package corpus_test

import (
	"fmt"
	"hash/fnv"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley/internal/corpus"
)

// What is measured on different days is measured on the same messages. When the
// corpus is changed on purpose, what was measured before has no successor.
func TestSameSeedSameTalk(t *testing.T) {
	a, b, other := corpus.New(7), corpus.New(7), corpus.New(8)
	sum := fnv.New64a()
	different := 0
	for i := range 2000 {
		fmt.Fprint(sum, a.Message(i))
		if b.Message(i) != a.Message(i) {
			t.Fatalf("message %d is made differently", i)
		}
		if other.Message(i) != a.Message(i) {
			different++
		}
	}
	fmt.Fprint(sum, a.Queries(20, 2000))
	if got, want := sum.Sum64(), uint64(0x56d962b31cfa8a60); got != want {
		t.Errorf("the corpus is another one: %#x, was %#x", got, want)
	}
	if different < 1900 {
		t.Errorf("another seed changes %d of 2000 messages", different)
	}
}

// Searching it is not trivial: there are many words, few of them in most
// messages.
func TestTalkIsVaried(t *testing.T) {
	c := corpus.New(1)
	pairs, frequent, long, inLong, runes := map[string]int{}, 0, 0, 0, 0
	const messages = 50000
	for i := range messages {
		m := c.Message(i)
		if m.Text == "" || !utf8.ValidString(m.Text) {
			t.Fatalf("message %d: %q", i, m.Text)
		}
		n := utf8.RuneCountInString(m.Text)
		runes += n
		if n > 300 {
			long++
		}
		if m.Conversation == 0 {
			inLong++
		}
		last, has := rune(0), false
		for _, r := range m.Text {
			if unicode.Is(unicode.Han, r) && unicode.Is(unicode.Han, last) {
				pairs[string([]rune{last, r})]++
			}
			has = has || r == '的'
			last = r
		}
		if has {
			frequent++
		}
	}
	if len(pairs) < 30000 {
		t.Errorf("only %d pairs of Chinese characters", len(pairs))
	}
	if frequent < messages/10 || frequent > messages/2 {
		t.Errorf("的 is in %d of %d messages", frequent, messages)
	}
	if long < messages/1000 || long > messages/50 {
		t.Errorf("%d of %d messages are long", long, messages)
	}
	if inLong < messages/6 || inLong > messages/4 {
		t.Errorf("%d of %d messages are in the long conversation", inLong, messages)
	}
	if mean := runes / messages; mean < 15 || mean > 80 {
		t.Errorf("%d runes a message", mean)
	}
	t.Logf("%d pairs, 的 in %d, %d long, %d runes", len(pairs), frequent, long, runes/messages)
}

func TestQueriesAreOfTheirClass(t *testing.T) {
	classes := map[corpus.Class]int{}
	for _, q := range corpus.New(1).Queries(30, 5000) {
		classes[q.Class]++
		han := 0
		for _, r := range q.Text {
			if unicode.Is(unicode.Han, r) {
				han++
			}
		}
		n := utf8.RuneCountInString(q.Text)
		switch q.Class {
		case corpus.OneCharacter, corpus.TwoCharacters, corpus.Characters:
			low, high := map[corpus.Class]int{corpus.OneCharacter: 1, corpus.TwoCharacters: 2, corpus.Characters: 3}[q.Class], min(6, n)
			if han != n || n < low || n > high {
				t.Errorf("%s: %q", q.Class, q.Text)
			}
		case corpus.Mixed:
			if han == 0 || han == n {
				t.Errorf("%s: %q", q.Class, q.Text)
			}
		case corpus.English, corpus.Emoji, corpus.Number:
			if han > 0 || n == 0 {
				t.Errorf("%s: %q", q.Class, q.Text)
			}
		}
	}
	for _, class := range corpus.Classes() {
		if classes[class] != 30 {
			t.Errorf("%d queries of the class %s", classes[class], class)
		}
	}
}
