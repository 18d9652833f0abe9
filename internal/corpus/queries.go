package corpus

import (
	"math"
	"math/rand/v2"
	"strings"
	"unicode"
)

// Class is a kind of queries.
type Class string

// The classes of queries, in the order of Classes.
const (
	OneCharacter  Class = "one Chinese character"
	TwoCharacters Class = "two Chinese characters"
	Characters    Class = "3–6 Chinese characters"
	Phrase        Class = "phrase"
	English       Class = "English words"
	Mixed         Class = "Chinese and English"
	Number        Class = "number"
	Emoji         Class = "emoji"
	Rare          Class = "rare"
	Frequent      Class = "very frequent"
	Miss          Class = "in no message"
)

// Classes returns all classes.
func Classes() []Class {
	return []Class{OneCharacter, TwoCharacters, Characters, Phrase, English, Mixed, Number, Emoji, Rare, Frequent, Miss}
}

// Query is what somebody may search the corpus for.
type Query struct {
	Class Class
	Text  string
}

// Queries returns n queries of each class, most of them parts of the first so
// many messages.
func (c *Corpus) Queries(n, messages int) []Query {
	var all []Query
	for i, class := range Classes() {
		r := rand.New(rand.NewPCG(c.seed+uint64(i), math.MaxUint64-1))
		for k := range n {
			all = append(all, Query{class, c.query(class, k, r, messages)})
		}
	}
	return all
}

func (c *Corpus) query(class Class, k int, r *rand.Rand, messages int) string {
	switch class {
	case Frequent:
		return c.frequent(k)
	case Emoji:
		return c.emojis.draw(r)
	case Miss:
		return c.miss(r)
	case Rare:
		t := talker{Corpus: c, r: r}
		return []string{t.hanName(), t.figure("order"), t.tail.words[len(t.tail.words)-1-r.IntN(5000)]}[r.IntN(3)]
	}
	for {
		if q := c.part(class, r, c.Message(r.IntN(messages)).Text); q != "" {
			return q
		}
	}
}

// frequent returns the words that most messages have, and two of them at once.
func (c *Corpus) frequent(k int) string {
	i := k / 3 % 10
	switch k % 3 {
	case 0:
		return c.han.words[i]
	case 1:
		return c.english.words[i]
	}
	return c.han.words[i] + " " + c.han.words[i+1]
}

// miss returns what is in no message, though its parts are.
func (c *Corpus) miss(r *rand.Rand) string {
	switch r.IntN(3) {
	case 0:
		return c.tail.draw(r) + "qq"
	case 1:
		return c.han.draw(r) + "龘" + c.han.draw(r)
	}
	return `"` + c.english.draw(r) + " " + c.tail.draw(r) + " " + c.english.draw(r) + " " + c.tail.draw(r) + `"`
}

// part returns a part of a text that is of a class, "" if it has none.
func (c *Corpus) part(class Class, r *rand.Rand, text string) string {
	switch class {
	case OneCharacter:
		return piece(r, text, unicode.Han, 1)
	case TwoCharacters:
		return piece(r, text, unicode.Han, 2)
	case Characters:
		return piece(r, text, unicode.Han, 3+r.IntN(4))
	case Number:
		return strings.Join(fields(r, text, unicode.IsDigit, 1), "")
	case English:
		return strings.Join(fields(r, text, latin, 1+r.IntN(2)), " ")
	case Mixed:
		han, word := piece(r, text, unicode.Han, 1+r.IntN(3)), fields(r, text, latin, 1)
		if han == "" || len(word) == 0 {
			return ""
		}
		return han + " " + word[0]
	}
	return phrase(r, text)
}

// piece returns n characters of a script that stand together somewhere in text.
func piece(r *rand.Rand, text string, script *unicode.RangeTable, n int) string {
	var places []string
	runes := []rune(text)
	for i := range runes {
		if i+n > len(runes) || strings.ContainsFunc(string(runes[i:i+n]), func(r rune) bool { return !unicode.Is(script, r) }) {
			continue
		}
		places = append(places, string(runes[i:i+n]))
	}
	if len(places) == 0 {
		return ""
	}
	return places[r.IntN(len(places))]
}

// fields returns n runs of characters of a kind that are in text, in any order;
// nil if it has fewer.
func fields(r *rand.Rand, text string, of func(rune) bool, n int) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return !of(r) })
	if len(all) < n {
		return nil
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

func latin(r rune) bool { return r < unicode.MaxASCII && unicode.IsLetter(r) }

// phrase returns a few words behind each other, in quotation marks.
func phrase(r *rand.Rand, text string) string {
	fields := strings.Fields(strings.Map(func(r rune) rune {
		if r == '"' || unicode.IsPunct(r) && r > unicode.MaxASCII {
			return ' '
		}
		return r
	}, text))
	if len(fields) < 2 {
		return ""
	}
	i := r.IntN(len(fields) - 1)
	q := `"` + strings.Join(fields[i:min(len(fields), i+2+r.IntN(3))], " ") + `"`
	if len(q) > 120 {
		return ""
	}
	return q
}
