package search

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// letter is a folded character and the bytes of the text that it stands for.
type letter struct {
	r          rune
	start, end int32
}

// maxSegment bounds the runes that are normalised as one: beyond that, marks
// piled on a character begin a new one.
const maxSegment = 32

// fold returns the characters of text as they are compared: in compatibility
// form (NFKC: full-width is half-width), lower case, Latin and Greek without
// accents, without what does not show. Those that share a segment of the text
// have the same bytes.
func fold(text string) []letter {
	letters := make([]letter, 0, utf8.RuneCountInString(text))
	for i := 0; i < len(text); {
		if n := plain(text[i:]); n > 0 {
			r, _ := utf8.DecodeRuneInString(text[i:])
			letters = append(letters, letter{unicode.ToLower(r), int32(i), int32(i + n)})
			i += n
			continue
		}
		n := segment(text[i:])
		letters = foldSegment(letters, text[i:i+n], int32(i))
		i += n
	}
	return letters
}

// plain returns the length of the first character if it is ASCII or common Han
// and nothing behind it combines with it, else 0. It is only here to be fast.
func plain(s string) int {
	n := 1
	if s[0] >= utf8.RuneSelf {
		if n = 3; !commonHan(s) {
			return 0
		}
	}
	if len(s) == n || s[n] < utf8.RuneSelf || commonHan(s[n:]) {
		return n
	}
	return 0
}

// commonHan reports whether s begins with a character of U+5000 to U+8FFF.
func commonHan(s string) bool {
	return len(s) >= 3 && s[0] >= 0xE5 && s[0] <= 0xE8 && s[1]&0xC0 == 0x80 && s[2]&0xC0 == 0x80
}

// segment returns the length of the first character of s with all that combines
// with it.
func segment(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	for runes := 1; n < len(s) && runes < maxSegment; runes++ {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r == utf8.RuneError || norm.NFKC.PropertiesString(s[n:]).BoundaryBefore() {
			break
		}
		n += size
	}
	return n
}

// foldSegment appends the folded characters of a segment that begins at offset.
func foldSegment(letters []letter, s string, offset int32) []letter {
	end := offset + int32(len(s))
	if !utf8.ValidString(s) {
		return append(letters, letter{utf8.RuneError, offset, end})
	}
	accents := false // those that follow are dropped
	for _, r := range norm.NFKC.String(s) {
		r = unicode.ToLower(r)
		if invisible(r) || accents && unicode.Is(unicode.Mn, r) {
			extend(letters, offset, end)
			continue
		}
		more := rune(0)
		if accents = unicode.In(r, unicode.Latin, unicode.Greek); accents || r == 'ё' {
			r, more = bare(r)
		}
		letters = append(letters, letter{r, offset, end})
		if more != 0 {
			letters = append(letters, letter{more, offset, end})
		}
	}
	return letters
}

// extend makes what does not show part of the character before it.
func extend(letters []letter, offset, end int32) {
	if n := len(letters); n > 0 && letters[n-1].end >= offset {
		letters[n-1].end = end
	}
}

// bare returns a lower-case letter without its accents; ß, æ, œ and þ are two.
func bare(r rune) (base, more rune) {
	switch r {
	case 'ß':
		return 's', 's'
	case 'æ':
		return 'a', 'e'
	case 'œ':
		return 'o', 'e'
	case 'þ':
		return 't', 'h'
	case 'ø':
		return 'o', 0
	case 'đ', 'ð':
		return 'd', 0
	case 'ł':
		return 'l', 0
	case 'ħ':
		return 'h', 0
	case 'ı':
		return 'i', 0
	case 'ς':
		return 'σ', 0
	case 'ё':
		return 'е', 0
	}
	if d := norm.NFD.PropertiesString(string(r)).Decomposition(); len(d) > 0 {
		r, _ = utf8.DecodeRune(d)
	}
	return r, 0
}
