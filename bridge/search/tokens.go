package search

import "slices"

// Version numbers what Tokens returns: it is raised whenever the same text gets
// other tokens.
const Version = 1

// Tokens returns what text is found by: its distinct tokens, sorted. They are
// never empty, have at most MaxTokenRunes runes and are valid UTF-8, whatever text
// is. A text of n bytes has fewer than 2n of them, or up to 4n where it is made of
// characters that stand for several (㍍).
func Tokens(text string) []string {
	atoms := split(text)
	tokens := make([]string, 0, 2*len(atoms))
	for i, a := range atoms {
		if a.kind != character {
			tokens = append(tokens, a.key)
			if a.grouped != "" {
				tokens = append(tokens, a.grouped)
			}
			continue
		}
		tokens = append(tokens, string(a.r))
		if a.tight {
			tokens = append(tokens, string([]rune{atoms[i-1].r, a.r}))
		}
	}
	return distinct(tokens)
}

func distinct(tokens []string) []string {
	slices.Sort(tokens)
	return slices.Compact(tokens)
}
