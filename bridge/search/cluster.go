package search

import (
	"unicode"
	"unicode/utf8"
)

// maxCluster bounds the bytes that are kept together as one character.
const maxCluster = 128

// clusterStart returns the start of the character that the byte at i is in; it is
// at most maxCluster before i.
func clusterStart(text string, i int) int {
	for low := max(0, i-maxCluster); i > low && !between(text, i); {
		i--
	}
	return i
}

// clusterEnd returns i if that is between two characters, else the end of the one
// that it is in; it is at most maxCluster behind i.
func clusterEnd(text string, i int) int {
	for high := min(len(text), i+maxCluster); i < high && !between(text, i); {
		i++
	}
	return i
}

// between reports whether i is between two characters as people see them
// (grapheme clusters, as far as support talk needs them).
func between(text string, i int) bool {
	if i <= 0 || i >= len(text) {
		return true
	}
	if !utf8.RuneStart(text[i]) {
		return false
	}
	a, _ := utf8.DecodeLastRuneInString(text[:i])
	b, _ := utf8.DecodeRuneInString(text[i:])
	switch {
	case a < utf8.RuneSelf && b < utf8.RuneSelf:
		return a != '\r' || b != '\n'
	case extends(b):
		return false
	case a == zwj:
		return !pictures(b)
	case regional(a) && regional(b):
		return flags(text[:i])
	}
	return !sameSyllable(a, b)
}

// extends reports whether r belongs to the character before it.
func extends(r rune) bool {
	return unicode.IsMark(r) || r == zwj || r == '\u200C' || tone(r) || tagged(r) ||
		r == 0x0E33 || r == 0x0EB3 || // vowels of Thai and Lao that end a syllable
		r == 0xFF9E || r == 0xFF9F // half-width voicing marks
}

// flags reports whether the regional indicators at the end of text are pairs.
func flags(text string) bool {
	n := 0
	for n < maxCluster {
		r, size := utf8.DecodeLastRuneInString(text)
		if !regional(r) {
			break
		}
		text = text[:len(text)-size]
		n++
	}
	return n%2 == 0
}

// sameSyllable reports whether b goes on with the Korean syllable of a.
func sameSyllable(a, b rune) bool {
	if !unicode.Is(unicode.Hangul, a) || !unicode.Is(unicode.Hangul, b) {
		return false
	}
	leading := a >= 0x1100 && a <= 0x115F
	following := b >= 0x1160 && b <= 0x11FF
	return leading || following
}
