package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley"
)

// maxNameRunes bounds a name that others are shown.
const maxNameRunes = 80

// cleanName returns name without surrounding space, or an *parley.Error if it
// could not be shown as one line of ordinary text.
func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case !utf8.ValidString(name):
		return "", parley.Errorf(parley.CodeInvalid, "the name is not valid UTF-8")
	case utf8.RuneCountInString(name) > maxNameRunes:
		return "", parley.Errorf(parley.CodeInvalid, "the name is longer than %d characters", maxNameRunes)
	case strings.ContainsFunc(name, disturbsALine):
		return "", parley.Errorf(parley.CodeInvalid, "the name contains control characters")
	}
	return name, nil
}

// disturbsALine is true for what breaks a line or turns the direction of the
// text behind it, with which one name could pose as another.
func disturbsALine(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}
