// Package corpus makes support talk, Chinese, English and mixed, for tests and
// measurements: the same seed makes the same messages and queries everywhere.
package corpus

import (
	"math"
	"math/rand/v2"
	"sort"
	"strings"
)

// Corpus is an endless row of messages. It is never changed; goroutines may share
// it.
type Corpus struct {
	seed                           uint64
	han, english, characters       list
	hanLines, englishLines, mixed  list
	emojis, tail, brands, roads    list
	surnames, given, first, last   list
	cities, hanRoads, hues, errors list
}

// Message is one message of the corpus.
type Message struct {
	Conversation int // 0 is one long conversation with a fifth of all messages
	FromVisitor  bool
	Text         string
}

// list is words of which the first are drawn most often: the n-th in proportion
// to 1/(n+3), which is about what languages do (Zipf, Mandelbrot).
type list struct {
	words []string
	sums  []float64
}

func zipf(words []string) list {
	return weighted(words, func(i int) float64 { return 1 / float64(i+3) })
}

// even is a list of which all words are drawn as often.
func even(words []string) list {
	return weighted(words, func(int) float64 { return 1 })
}

func weighted(words []string, weight func(i int) float64) list {
	l := list{words: words, sums: make([]float64, len(words))}
	sum := 0.0
	for i := range words {
		sum += weight(i)
		l.sums[i] = sum
	}
	return l
}

func (l list) draw(r *rand.Rand) string {
	return l.words[sort.SearchFloat64s(l.sums, r.Float64()*l.sums[len(l.sums)-1])]
}

// New returns the corpus of a seed.
func New(seed uint64) *Corpus {
	c := &Corpus{
		seed: seed, han: zipf(hanList()), english: zipf(strings.Fields(englishWords)), characters: zipf(distinct(hanCharacters)),
		hanLines: zipf(strings.Split(hanSentences, "\n")), englishLines: zipf(strings.Split(englishSentences, "\n")),
		mixed: even(strings.Split(mixedSentences, "\n")), emojis: zipf(strings.Fields(emojis)),
		surnames: zipf(distinct(hanSurnames)), given: even(distinct(hanGiven)),
		first: zipf(strings.Fields(firstNames)), last: even(strings.Fields(lastNames)),
		cities: zipf(strings.Fields(hanCities)), hanRoads: even(strings.Fields(hanRoads)),
		hues: even(strings.Fields(adjectives)), errors: zipf(strings.Fields(errorWords)),
	}
	r := rand.New(rand.NewPCG(seed, math.MaxUint64))
	c.tail = zipf(coined(r, 20000))
	c.brands, c.roads = zipf(coined(r, 300)), even(coined(r, 800))
	return c
}

// distinct returns the characters of s, each once.
func distinct(s string) []string {
	seen := map[rune]bool{}
	var all []string
	for _, r := range s {
		if !seen[r] {
			seen[r] = true
			all = append(all, string(r))
		}
	}
	return all
}

// coined returns n words that are in no dictionary.
func coined(r *rand.Rand, n int) []string {
	parts := even(strings.Fields(syllables))
	words := make([]string, n)
	for i := range words {
		for range 2 + r.IntN(3) {
			words[i] += parts.draw(r)
		}
	}
	return words
}

// conversationLength is how many messages in a row, but for those of the long
// conversation, belong together.
const conversationLength = 25

// Message returns the n-th message, from 0.
func (c *Corpus) Message(n int) Message {
	r := rand.New(rand.NewPCG(c.seed, uint64(n)))
	m := Message{FromVisitor: r.IntN(2) == 0}
	if r.IntN(5) > 0 {
		m.Conversation = 1 + n/conversationLength
	}
	t := talker{Corpus: c, r: r}
	t.message()
	m.Text = t.String()
	return m
}
