package search

import "slices"

// Version numbers what Tokens returns: it is raised whenever the same text gets
// other tokens.
const Version = 2

// Tokens returns what text is found by: its distinct tokens, sorted. They are
// never empty, have at most MaxTokenRunes runes and are valid UTF-8, whatever text
// is. A text of n bytes has fewer than 2n of them, or up to 4n where it is made of
// characters that stand for several (㍍).
//
// These are its words, numbers, emoji and single characters, and the pairs of
// neighbours among them, so that a phrase of frequent words is as rare as it is:
// "退款" of two characters that touch, "not the" with a space of all others but
// two characters.
func Tokens(text string) []string {
	atoms := split(text)
	tokens := make([]string, 0, 2*len(atoms))
	var ending map[int]string // the grouped number that ends before that atom
	for i, a := range atoms {
		tokens = append(tokens, a.token())
		if a.grouped != "" {
			tokens = append(tokens, a.grouped)
			if ending == nil {
				ending = map[int]string{}
			}
			ending[int(a.next)] = a.grouped
		}
		if i > 0 {
			tokens = appendPairs(tokens, atoms[i-1], a, ending[i])
		}
	}
	return distinct(tokens)
}

// appendPairs appends the pairs of what ends with a, which may be a grouped
// number, too, and what begins with b.
func appendPairs(tokens []string, a, b atom, groupedA string) []string {
	if pair, ok := pairOf(a, b); ok {
		tokens = append(tokens, pair)
	}
	if b.grouped != "" {
		tokens = append(tokens, a.token()+" "+b.grouped)
	}
	if groupedA == "" {
		return tokens
	}
	tokens = append(tokens, groupedA+" "+b.token())
	if b.grouped != "" {
		tokens = append(tokens, groupedA+" "+b.grouped)
	}
	return tokens
}

// pairOf returns the token of two neighbours. Two characters that do not touch
// have none: who searches for them so wants those that touch, too.
func pairOf(a, b atom) (string, bool) {
	switch {
	case b.tight:
		return string([]rune{a.r, b.r}), true
	case a.kind == character && b.kind == character:
		return "", false
	}
	return a.token() + " " + b.token(), true
}

func (a atom) token() string {
	if a.kind == character {
		return string(a.r)
	}
	return a.key
}

func distinct(tokens []string) []string {
	slices.Sort(tokens)
	return slices.Compact(tokens)
}
