package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley"
)

// maxNameRunes bounds a name that others are shown.
const maxNameRunes = 80

// cleanName returns name as one line of ordinary text, without space around it:
// empty if there would be nothing to see. What would break the line or turn the
// direction of the text behind it is taken out, for one name could pose as
// another with it. It fails with an *parley.Error if the name is no text or too
// long.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", parley.Errorf(parley.CodeInvalid, "the name is not valid UTF-8")
	}
	name = strings.TrimFunc(strings.Map(onOneLine, name), blank)
	if utf8.RuneCountInString(name) > maxNameRunes {
		return "", parley.Errorf(parley.CodeInvalid, "the name is longer than %d characters", maxNameRunes)
	}
	if !strings.ContainsFunc(name, visible) {
		return "", nil
	}
	return name, nil
}

// onOneLine maps what ends a line to a space, and drops other control
// characters and those that embed, override or isolate a direction.
func onOneLine(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return -1
	}
	return r
}

// blank is true for what looks like nothing or like a space, and is no part of
// the character beside it.
func blank(r rune) bool {
	switch r {
	case '\u00ad', '\u061c', '\u180e', '\u200b', '\u200e', '\u200f', '\u2060', '\ufeff', // format characters
		'\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // letters without ink
		return true
	}
	return unicode.IsSpace(r)
}

// visible is false for blanks, and for what is only seen together with others:
// joiners, variation selectors, tags.
func visible(r rune) bool {
	return !blank(r) && !unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
