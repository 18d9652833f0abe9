package search

import (
	"cmp"
	"slices"
)

// Span is a part of a text: its bytes from Start to before End.
type Span struct {
	Start, End int
}

// Match returns where q is found in text, as separate spans in the order of the
// text; nil if it is not. Offsets are those of text as it is given, and never in
// the middle of what is seen as one character.
func (q Query) Match(text string) []Span {
	if len(q.terms) == 0 {
		return nil
	}
	atoms := split(text)
	var spans []Span
	for _, term := range q.terms {
		found := len(spans)
		for i := range atoms {
			if end := matchAt(term, atoms, i); end > 0 {
				spans = append(spans, Span{int(atoms[i].start), int(atoms[end-1].end)})
			}
		}
		if len(spans) == found {
			return nil
		}
	}
	return merge(text, spans)
}

// matchAt returns the end of term in atoms if it begins at i, else 0.
func matchAt(term, atoms []atom, i int) int {
	for n, want := range term {
		if i == len(atoms) {
			return 0
		}
		a := atoms[i]
		switch {
		case n > 0 && want.tight && !a.tight:
			return 0
		case a.same(want):
			i++
		case a.grouped != "" && a.grouped == want.key:
			i = int(a.next)
		default:
			return 0
		}
	}
	return i
}

func (a atom) same(b atom) bool {
	return a.r == b.r && a.key == b.key && (a.kind == character) == (b.kind == character)
}

// merge sorts spans, widens them to whole characters and joins those that touch.
func merge(text string, spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	merged := spans[:0]
	for _, s := range spans {
		s = Span{clusterStart(text, s.Start), clusterEnd(text, s.End)}
		if n := len(merged); n > 0 && s.Start <= merged[n-1].End {
			merged[n-1].End = max(merged[n-1].End, s.End)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}
