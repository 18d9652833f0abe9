package attachment

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes bounds a file's name, with its ending.
const maxNameBytes = 200

// cleanName returns what of a name can be shown, and be that of a file on any system:
// the part behind the last slash, without characters that cannot be seen, end a line
// or turn the direction of what follows, and none of those that some system gives a
// meaning. What is too long loses its middle.
func cleanName(name string) string {
	name = strings.ToValidUTF8(name, "")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point) && r != '\u200d':
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, name)
	name = strings.Trim(name, " .")
	if name == "" || reserved(name) {
		name = "file" + ending(name)
	}
	return shorten(name, maxNameBytes)
}

// reserved reports whether Windows takes the name for a device.
func reserved(name string) bool {
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	return slices.Contains([]string{"con", "prn", "aux", "nul", "conin$", "conout$"}, stem) ||
		len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && stem[3] >= '0' && stem[3] <= '9'
}

// shorten keeps the ending, and of the rest as much as there is room for.
func shorten(name string, most int) string {
	if len(name) <= most {
		return name
	}
	end := ending(name)
	stem := name[:most-len(end)]
	for !utf8.ValidString(stem) {
		stem = stem[:len(stem)-1]
	}
	return strings.TrimRight(stem, " .") + end
}

// ending returns the last dot of a name and what is behind it, if that is as short as
// endings are.
func ending(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || len(name)-i > 12 {
		return ""
	}
	return name[i:]
}

// fitName gives a file that was examined an ending that its type has, so that no
// system opens it as something else.
func fitName(name, kind string) string {
	endings := kinds()[kind].endings
	if len(endings) == 0 || slices.Contains(endings, strings.ToLower(ending(name))) {
		return name
	}
	return shorten(name, maxNameBytes-len(endings[0])) + endings[0]
}
