package parley

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// member is what an object holds under a name that somebody asks for. Names are
// compared exactly, as JSON has them; encoding/json would take "ID" for "id".
type member struct {
	name  string
	value []byte // as written, nil if the object does not have it
	twice bool   // the object has it more than once; value is the last one
}

// readMembers fills in the members that the object has. It returns false if
// text is not an object. text is valid JSON, or nil.
func readMembers(text []byte, members ...*member) bool {
	rest := bytes.TrimLeft(text, " \t\r\n")
	if len(rest) == 0 || rest[0] != '{' {
		return false
	}
	rest = rest[1:]
	for {
		var name, value []byte
		if name, rest = nextToken(rest); name == nil {
			return true
		}
		value, rest = nextToken(rest)
		for _, m := range members {
			if named(name, m.name) {
				m.value, m.twice = value, m.value != nil
				break
			}
		}
	}
}

// nextToken cuts the next name or value off the inside of an object; nil at its
// end.
func nextToken(inside []byte) (token, rest []byte) {
	inside = bytes.TrimLeft(inside, " \t\r\n:,")
	if inside[0] == '}' {
		return nil, nil
	}
	end := tokenEnd(inside)
	return inside[:end], inside[end:]
}

func tokenEnd(s []byte) int {
	switch s[0] {
	case '"':
		return stringEnd(s)
	case '{', '[':
		return nestedEnd(s)
	}
	return bytes.IndexAny(s, " \t\r\n,}") // a number or a literal inside an object
}

// stringEnd returns where the string that s begins with ends: behind the first
// quote with an even number of backslashes before it.
func stringEnd(s []byte) int {
	for end := 1; ; end++ {
		end += bytes.IndexByte(s[end:], '"')
		slashes := 0
		for s[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
	}
}

func nestedEnd(s []byte) int {
	depth := 0
	for i := 0; ; {
		switch s[i] {
		case '"':
			i += stringEnd(s[i:])
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// depthOf returns how many arrays and objects are inside each other at most. text
// need not be valid.
func depthOf(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// hasInfinity reports whether valid JSON has a number that is beyond what a float64
// holds, which is what JavaScript and others read numbers into.
func hasInfinity(text []byte) bool {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			i += stringEnd(text[i:])
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789.eE+-", text[end]) >= 0 {
				end++
			}
			if _, err := strconv.ParseFloat(string(text[i:end]), 64); err != nil {
				return true
			}
			i = end
		default:
			i++
		}
	}
	return false
}

func named(quoted []byte, name string) bool {
	if inner, plain := plainString(quoted); plain {
		return string(inner) == name
	}
	s, _ := unquote(quoted)
	return s == name
}

// plainString returns what is between the quotes of a string without escapes.
func plainString(value []byte) (inner []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// unquote returns the string that a value is; ok is false if it is none.
func unquote(value []byte) (s string, ok bool) {
	if inner, plain := plainString(value); plain {
		return string(inner), true
	}
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}

// halfSurrogate reports whether valid JSON escapes a surrogate (\ud800 to
// \udfff) that is not one of a pair. It stands for no character; decoders
// replace it, each in its own way, and two different texts become one.
func halfSurrogate(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\') // in valid JSON only inside strings
		if i < 0 {
			return false
		}
		text = text[i:]
		unit, escaped := escapedUnit(text)
		if !escaped {
			text = text[2:]
			continue
		}
		text = text[len(`\u0000`):]
		switch {
		case unit < 0xd800 || unit > 0xdfff:
			continue
		case unit > 0xdbff: // a low one with no high one before it
			return true
		}
		if low, _ := escapedUnit(text); low < 0xdc00 || low > 0xdfff {
			return true
		}
		text = text[len(`\u0000`):]
	}
}

// escapedUnit returns the UTF-16 code unit whose escape s begins with.
func escapedUnit(s []byte) (unit uint16, ok bool) {
	if len(s) < len(`\u0000`) || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, digit := range s[2:6] {
		unit <<= 4
		switch {
		case digit <= '9':
			unit |= uint16(digit - '0')
		default:
			unit |= uint16(digit|0x20-'a') + 10
		}
	}
	return unit, true
}
