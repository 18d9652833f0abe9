package search

import (
	"unicode"
	"unicode/utf8"
)

// class is what a folded character is to search.
type class uint8

const (
	gap    class = iota // separates: spaces, punctuation, all the rest
	alpha               // of a word
	digit               // of a number
	gram                // of a script without spaces between its words
	symbol              // an emoji, or another picture that people type
	mark                // belongs to what is before it
)

// zwj joins emoji to one picture.
const zwj = '\u200D'

func classOf(r rune) class {
	switch {
	case r < utf8.RuneSelf:
		return classOfASCII(r)
	case r >= 0x4E00 && r <= 0x9FFF:
		return gram
	case unicode.IsDigit(r):
		return digit
	case unspaced(r):
		return gram
	case pictures(r):
		return symbol
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return alpha
	case unicode.IsMark(r):
		return mark
	}
	return gap
}

func classOfASCII(r rune) class {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return alpha
	case '0' <= r && r <= '9':
		return digit
	}
	return gap
}

// unspaced reports whether r is of a script that does not show where words end.
// Korean does, but hangs its particles on the words.
func unspaced(r rune) bool {
	if r < 0x0E00 { // most letters: the first of these scripts is Thai
		return false
	}
	if r == 'ー' { // shared by both kana
		return true
	}
	return (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.Is(unicode.Nl, r)) &&
		unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
			unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// pictures reports whether r is an emoji or another symbol, but none that frames
// and tables are drawn with. What Unicode will put among the emoji is one already.
func pictures(r rune) bool {
	if r >= 0x1F000 && r <= 0x1FAFF {
		return true
	}
	return r >= 0xA6 && unicode.Is(unicode.So, r) && r != utf8.RuneError && (r < 0x2500 || r > 0x259F)
}

// regional reports whether r is a regional indicator; two of them are a flag.
func regional(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }

// tagged reports whether r spells the region of a flag.
func tagged(r rune) bool { return r >= 0xE0020 && r <= 0xE007F }

// tone reports whether r colours the emoji before it.
func tone(r rune) bool { return r >= 0x1F3FB && r <= 0x1F3FF }

// invisible reports whether r makes no difference to what a text is found by: it
// does not show, or only tells how the character before it is shown. What joins
// the parts of an emoji or names a flag does make one.
func invisible(r rune) bool {
	switch {
	case r < 0xAD:
		return false
	case r == 0xAD, r == 0x034F, r == 0x061C, r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFEFF:
		return true
	case r >= 0x180B && r <= 0x180F, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x206F:
		return r != zwj
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF, tone(r):
		return true
	}
	return unicode.Is(unicode.Me, r) // the frame of a keycap
}
