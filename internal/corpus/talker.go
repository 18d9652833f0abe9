package corpus

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// talker writes one message.
type talker struct {
	*Corpus
	strings.Builder
	r *rand.Rand
}

// message writes mostly one or two sentences, and now and then a whole story.
func (t *talker) message() {
	sentences := 1
	for sentences < 8 && t.r.IntN(3) == 0 {
		sentences++
	}
	if t.r.IntN(200) == 0 {
		sentences = 10 + t.r.IntN(40)
	}
	kind := t.r.IntN(100)
	for n := range sentences {
		switch {
		case kind < 58:
			t.sentence(t.hanLines, t.chinese, "，", n)
		case kind < 88:
			t.sentence(t.englishLines, t.englishWord, " ", n)
		default:
			t.sentence(t.mixed, t.either, " ", n)
		}
	}
}

// sentence writes one of the lines, or words as they come.
func (t *talker) sentence(lines list, word func() string, between string, n int) {
	if n > 0 {
		t.WriteString(between)
	}
	if t.r.IntN(100) < 55 {
		t.fill(lines.draw(t.r))
		return
	}
	for i := range 2 + t.r.IntN(10) {
		if i > 0 && between == " " {
			t.WriteByte(' ')
		}
		t.WriteString(word())
	}
	if t.r.IntN(12) == 0 {
		t.WriteString(t.emojis.draw(t.r))
	}
}

// chinese returns a word: one of trade, or now and then any characters.
func (t *talker) chinese() string {
	if t.r.IntN(8) > 0 {
		return t.han.draw(t.r)
	}
	word := ""
	for range 1 + t.r.IntN(3) {
		word += t.characters.draw(t.r)
	}
	return word
}

// englishWord returns a word: one of trade, or now and then one that nobody knows.
func (t *talker) englishWord() string {
	if t.r.IntN(12) > 0 {
		return t.english.draw(t.r)
	}
	return t.tail.draw(t.r)
}

func (t *talker) either() string {
	if t.r.IntN(2) == 0 {
		return t.chinese()
	}
	return t.englishWord()
}

// fill writes a line with something in each of its slots.
func (t *talker) fill(line string) {
	for {
		before, rest, found := strings.Cut(line, "{")
		t.WriteString(before)
		if !found {
			return
		}
		slot, after, _ := strings.Cut(rest, "}")
		t.WriteString(t.slot(slot))
		line = after
	}
}

func (t *talker) slot(name string) string {
	switch name {
	case "word":
		return t.chinese()
	case "emoji":
		return t.emojis.draw(t.r)
	case "product":
		return t.product()
	case "brand":
		return t.brands.draw(t.r)
	case "name":
		return t.hanName()
	case "Name":
		return t.first.draw(t.r) + " " + t.last.draw(t.r)
	case "city":
		return t.cities.draw(t.r)
	case "address":
		return fmt.Sprintf("%s%s区%s路%d号", t.cities.draw(t.r), t.characters.draw(t.r)+t.given.draw(t.r), t.hanRoad(), 1+t.r.IntN(800))
	case "Road", "Town":
		return title(t.roads.draw(t.r))
	case "adjective":
		return t.hues.draw(t.r)
	case "error":
		return t.errors.draw(t.r)
	}
	return t.figure(name)
}

// figure fills the slots that have numbers in them.
func (t *talker) figure(name string) string {
	switch name {
	case "order":
		return fmt.Sprintf("SO-%d/%05d", 2022+t.r.IntN(5), t.r.IntN(100000))
	case "tracking":
		return fmt.Sprintf("SF%010d", t.r.Int64N(1e10))
	case "phone":
		return t.phone()
	case "money":
		return "¥" + t.amount()
	case "dollars":
		return "$" + t.amount()
	case "date":
		return fmt.Sprintf("%d-%02d-%02d", 2022+t.r.IntN(5), 1+t.r.IntN(12), 1+t.r.IntN(28))
	case "email":
		return fmt.Sprintf("%s%d@%s.com", strings.ToLower(t.tail.draw(t.r)), t.r.IntN(100), t.brands.draw(t.r))
	case "version":
		return fmt.Sprintf("%d.%d.%d", 1+t.r.IntN(4), t.r.IntN(20), t.r.IntN(10))
	case "code":
		return strings.ToUpper(t.brands.draw(t.r)) + strconv.Itoa(t.r.IntN(100))
	case "number":
		return strconv.Itoa(1 + t.r.IntN(999))
	}
	return strconv.Itoa(1 + t.r.IntN(30))
}

func (t *talker) phone() string {
	a, b := t.r.IntN(10000), t.r.IntN(10000)
	switch t.r.IntN(3) {
	case 0:
		return fmt.Sprintf("138-%04d-%04d", a, b)
	case 1:
		return fmt.Sprintf("139%04d%04d", a, b)
	}
	return fmt.Sprintf("+86 186 %04d %04d", a, b)
}

func (t *talker) amount() string {
	n := t.r.IntN([]int{10, 100, 1000, 10000, 100000}[t.r.IntN(5)])
	if n < 1000 || t.r.IntN(2) == 0 {
		return fmt.Sprintf("%d.%02d", n, t.r.IntN(100))
	}
	return fmt.Sprintf("%d,%03d.%02d", n/1000, n%1000, t.r.IntN(100))
}

func (t *talker) product() string {
	return title(t.brands.draw(t.r)) + []string{"Pro", " Max", " X", " 手表", "手机", " Air", ""}[t.r.IntN(7)] + strconv.Itoa(1+t.r.IntN(30))
}

// title returns a word with a capital letter.
func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func (t *talker) hanName() string {
	name := t.surnames.draw(t.r) + t.given.draw(t.r)
	if t.r.IntN(3) > 0 {
		name += t.given.draw(t.r)
	}
	return name
}

// hanRoad returns a known road, or one of any two characters.
func (t *talker) hanRoad() string {
	if t.r.IntN(2) == 0 {
		return t.hanRoads.draw(t.r)
	}
	return t.given.draw(t.r) + t.characters.draw(t.r)
}
