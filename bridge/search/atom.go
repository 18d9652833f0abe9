package search

import "strings"

// kind is what an atom is.
type kind uint8

const (
	word kind = iota
	number
	character // of a script without spaces
	picture
)

// atom is one thing of a text that can be searched for: a word, a number, a
// character of a script without spaces, or an emoji.
type atom struct {
	kind       kind
	key        string // what it is compared by; a character has r instead
	r          rune
	tight      bool  // a character that stands right behind the character before it
	between    rune  // what is between it and the atom before it, if that is one character
	start, end int32 // its bytes in the text

	// A number that begins a grouped one: all of that, and the atom behind it.
	grouped string
	next    int32
}

const (
	// MaxTokenRunes is the longest token: a pair of two words.
	MaxTokenRunes = 2*maxWord + 1

	maxWord    = 64 // runes; what is longer in a text, as no word is, counts as several
	maxPieces  = 4  // iphone15pro is three words; what has more is a code, and stays whole
	maxGrouped = 32 // digits of a grouped number
	maxJoined  = 10 // runes of a picture made of several
)

// splitter cuts folded text into atoms.
type splitter struct {
	letters []letter
	atoms   []atom
	used    int // letters up to the end of the newest atom
}

// split returns the atoms of text, in order.
func split(text string) []atom {
	letters := fold(text)
	s := splitter{letters: letters, atoms: make([]atom, 0, len(letters)/2)}
	for i := 0; i < len(s.letters); {
		switch classOf(s.letters[i].r) {
		case gram:
			i = s.character(i)
		case symbol:
			i = s.picture(i)
		case alpha, digit:
			i = s.run(i)
		default:
			i++
		}
	}
	group(s.atoms)
	return s.atoms
}

// add appends an atom of the letters from i to before j.
func (s *splitter) add(a atom, i, j int) {
	if len(s.atoms) > 0 && i == s.used+1 {
		a.between = s.letters[i-1].r
	}
	a.start, a.end = s.letters[i].start, s.letters[j-1].end
	s.atoms = append(s.atoms, a)
	s.used = j
}

func (s *splitter) character(i int) int {
	n := len(s.atoms)
	tight := n > 0 && s.atoms[n-1].kind == character && s.used == i
	s.add(atom{kind: character, r: s.letters[i].r, tight: tight}, i, i+1)
	return i + 1
}

// picture takes an emoji with all that is joined to it. Whether it shows a man or
// a woman makes no difference where that is only said by a sign at its end.
func (s *splitter) picture(i int) int {
	at := func(j int) rune {
		if j < len(s.letters) {
			return s.letters[j].r
		}
		return 0
	}
	j := i + 1
	if regional(at(i)) && regional(at(j)) {
		j++
	}
	for tagged(at(j)) && j-i < maxJoined {
		j++
	}
	for at(j) == zwj && classOf(at(j+1)) == symbol && j-i < maxJoined {
		j += 2
	}
	key := s.text(i, j)
	for _, sign := range []string{"\u200D♀", "\u200D♂"} {
		key = strings.TrimSuffix(key, sign)
	}
	s.add(atom{kind: picture, key: key}, i, j)
	return j
}

// run takes letters and digits that stand together: a word, a number, or a few of
// both.
func (s *splitter) run(i int) int {
	j, pieces, last := i, 0, gap
	for ; j < len(s.letters); j++ {
		c := classOf(s.letters[j].r)
		if c != alpha && c != digit && c != mark {
			break
		}
		if c != mark && c != last {
			pieces, last = pieces+1, c
		}
	}
	ending, end := s.contraction(j)
	if pieces > maxPieces {
		s.words(word, i, j, "")
		return j
	}
	for from := i; from < j; {
		to, kind := s.piece(from, j)
		if to == j && kind == word {
			s.words(word, from, j, ending)
			s.atoms[len(s.atoms)-1].end, s.used = s.letters[end-1].end, end
			return end
		}
		s.words(kind, from, to, "")
		from = to
	}
	return j
}

// piece returns where the letters or the digits end that begin at i.
func (s *splitter) piece(i, end int) (int, kind) {
	first := classOf(s.letters[i].r)
	j := i + 1
	for j < end {
		if c := classOf(s.letters[j].r); c != first && c != mark {
			break
		}
		j++
	}
	if first == digit {
		return j, number
	}
	return j, word
}

// contraction returns what the word that ends before i has behind an apostrophe:
// the ending that belongs to it (the t of don't; the s, ll, re … of others mean
// nothing), and where that ends.
func (s *splitter) contraction(i int) (ending string, end int) {
	if i == len(s.letters) || !strings.ContainsRune("'’ʼ", s.letters[i].r) {
		return "", i
	}
	j := i + 1
	for j < len(s.letters) && j <= i+3 && classOf(s.letters[j].r) != gap {
		j++
	}
	switch s.text(i+1, j) {
	case "t":
		return "t", j
	case "s", "d", "m", "ll", "re", "ve":
		return "", j
	}
	return "", i
}

// words adds the letters from i to before j as one word, or as several where they
// are too many for a token.
func (s *splitter) words(k kind, i, j int, ending string) {
	const most = maxWord - 1 // an ending may be added
	for ; j-i > most; i += most {
		s.add(atom{kind: k, key: s.text(i, i+most)}, i, i+most)
	}
	s.add(atom{kind: k, key: stem(s.text(i, j) + ending)}, i, j)
}

func (s *splitter) text(i, j int) string {
	var b strings.Builder
	for _, l := range s.letters[i:j] {
		b.WriteRune(l.r)
	}
	return b.String()
}

// group finds numbers that are written in groups with the same sign between all
// of them, as 138-0013-8000 or 1,299: they are found in one, too.
func group(atoms []atom) {
	for i := 0; i < len(atoms); {
		j := i
		for grouped(atoms, i, j+1) {
			j++
		}
		if j == i {
			i++
			continue
		}
		join(atoms, i, j)
		i = j // the last group may be the first of a number with another sign
	}
}

// grouped reports whether the atom at j goes on with the number that begins at i.
func grouped(atoms []atom, i, j int) bool {
	return j < len(atoms) && atoms[i].kind == number && atoms[j].kind == number &&
		atoms[j].between == atoms[i+1].between && strings.ContainsRune("-/., ", atoms[j].between)
}

func join(atoms []atom, first, last int) {
	var b strings.Builder
	for _, a := range atoms[first : last+1] {
		if b.Len()+len(a.key) > maxGrouped {
			return
		}
		b.WriteString(a.key)
	}
	atoms[first].grouped, atoms[first].next = b.String(), int32(last+1)
}
