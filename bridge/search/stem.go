package search

import "strings"

// stem returns the part of an English word that its forms share, by the Snowball
// English stemmer (Porter2). Words with other characters than a to z stay as they
// are. It is written here because an index holds its results: they may not
// change with somebody else's release.
func stem(s string) string {
	if len(s) <= 2 || strings.ContainsFunc(s, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return s
	}
	if special, ok := specialStem(s); ok {
		return special
	}
	w := stemming{b: []byte(s)}
	w.prepare()
	w.step1a()
	if settled(string(w.b)) {
		return w.String()
	}
	w.step1b()
	w.step1c()
	w.step2()
	w.step3()
	w.step4()
	w.step5()
	return w.String()
}

// stemming is a word on its way to its stem. A y that is a consonant is a Y.
type stemming struct {
	b      []byte
	r1, r2 int // where the regions R1 and R2 of the algorithm begin
}

func (w *stemming) String() string { return strings.ToLower(string(w.b)) }

func specialStem(s string) (string, bool) {
	switch s {
	case "skis":
		return "ski", true
	case "skies":
		return "sky", true
	case "dying":
		return "die", true
	case "lying":
		return "lie", true
	case "tying":
		return "tie", true
	case "idly":
		return "idl", true
	case "gently":
		return "gentl", true
	case "ugly":
		return "ugli", true
	case "early":
		return "earli", true
	case "only":
		return "onli", true
	case "singly":
		return "singl", true
	case "sky", "news", "howe", "atlas", "cosmos", "bias", "andes":
		return s, true
	}
	return "", false
}

// settled reports whether what is left after step 1a stays as it is.
func settled(s string) bool {
	switch s {
	case "inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed":
		return true
	}
	return false
}

func vowel(c byte) bool { return strings.IndexByte("aeiouy", c) >= 0 }

// prepare marks the consonants among the y and finds the regions.
func (w *stemming) prepare() {
	for i, c := range w.b {
		if c == 'y' && (i == 0 || vowel(w.b[i-1])) {
			w.b[i] = 'Y'
		}
	}
	w.r1 = w.region(0)
	for _, prefix := range []string{"gener", "commun", "arsen"} {
		if strings.HasPrefix(string(w.b), prefix) {
			w.r1 = len(prefix)
		}
	}
	w.r2 = w.region(w.r1)
}

// region returns what is behind the first consonant that follows a vowel, at or
// behind from.
func (w *stemming) region(from int) int {
	for i := from + 1; i < len(w.b); i++ {
		if vowel(w.b[i-1]) && !vowel(w.b[i]) {
			return i + 1
		}
	}
	return len(w.b)
}

func (w *stemming) ends(suffix string) bool { return strings.HasSuffix(string(w.b), suffix) }

// before returns what is before the last n letters.
func (w *stemming) before(n int) []byte { return w.b[:len(w.b)-n] }

func (w *stemming) replace(suffix, with string) {
	w.b = append(w.before(len(suffix)), with...)
}

func hasVowel(b []byte) bool { return strings.ContainsAny(string(b), "aeiouy") }

// shortSyllable reports whether b ends with a short syllable.
func shortSyllable(b []byte) bool {
	n := len(b)
	if n == 2 {
		return vowel(b[0]) && !vowel(b[1])
	}
	return n > 2 && !vowel(b[n-3]) && vowel(b[n-2]) && !vowel(b[n-1]) && strings.IndexByte("wxY", b[n-1]) < 0
}

func (w *stemming) short() bool { return w.r1 >= len(w.b) && shortSyllable(w.b) }

func (w *stemming) step1a() {
	switch {
	case w.ends("sses"):
		w.replace("sses", "ss")
	case w.ends("ied"), w.ends("ies"):
		if len(w.b) > 4 {
			w.b = w.before(2)
		} else {
			w.b = w.before(1)
		}
	case w.ends("us"), w.ends("ss"):
	case w.ends("s"):
		if hasVowel(w.before(2)) {
			w.b = w.before(1)
		}
	}
}

func (w *stemming) step1b() {
	for _, suffix := range []string{"eedly", "eed"} {
		if w.ends(suffix) {
			if len(w.before(len(suffix))) >= w.r1 {
				w.replace(suffix, "ee")
			}
			return
		}
	}
	for _, suffix := range []string{"ingly", "edly", "ing", "ed"} {
		if w.ends(suffix) {
			if hasVowel(w.before(len(suffix))) {
				w.b = w.before(len(suffix))
				w.afterStep1b()
			}
			return
		}
	}
}

func (w *stemming) afterStep1b() {
	switch {
	case w.ends("at"), w.ends("bl"), w.ends("iz"):
		w.b = append(w.b, 'e')
	case w.endsDouble():
		w.b = w.before(1)
	case w.short():
		w.b = append(w.b, 'e')
	}
}

func (w *stemming) endsDouble() bool {
	n := len(w.b)
	return n > 1 && w.b[n-1] == w.b[n-2] && strings.IndexByte("bdfgmnprt", w.b[n-1]) >= 0
}

func (w *stemming) step1c() {
	n := len(w.b)
	if n > 2 && (w.b[n-1] == 'y' || w.b[n-1] == 'Y') && !vowel(w.b[n-2]) {
		w.b[n-1] = 'i'
	}
}

// ending is a suffix and what becomes of it.
type ending struct{ suffix, with string }

// longest returns the longest of the endings, which are sorted that way, that w
// has.
func (w *stemming) longest(endings []ending) (ending, bool) {
	for _, e := range endings {
		if w.ends(e.suffix) {
			return e, true
		}
	}
	return ending{}, false
}

func (w *stemming) step2() {
	e, ok := w.longest([]ending{
		{"ization", "ize"}, {"ational", "ate"}, {"fulness", "ful"}, {"ousness", "ous"}, {"iveness", "ive"},
		{"tional", "tion"}, {"biliti", "ble"}, {"lessli", "less"},
		{"entli", "ent"}, {"ation", "ate"}, {"alism", "al"}, {"aliti", "al"}, {"ousli", "ous"}, {"iviti", "ive"}, {"fulli", "ful"},
		{"enci", "ence"}, {"anci", "ance"}, {"abli", "able"}, {"izer", "ize"}, {"ator", "ate"}, {"alli", "al"},
		{"bli", "ble"}, {"ogi", "og"}, {"li", ""},
	})
	if !ok || len(w.before(len(e.suffix))) < w.r1 {
		return
	}
	before := w.before(len(e.suffix))
	switch e.suffix {
	case "ogi":
		ok = len(before) > 0 && before[len(before)-1] == 'l'
	case "li":
		ok = len(before) > 0 && strings.IndexByte("cdeghkmnrt", before[len(before)-1]) >= 0
	}
	if ok {
		w.replace(e.suffix, e.with)
	}
}

func (w *stemming) step3() {
	e, ok := w.longest([]ending{
		{"ational", "ate"}, {"tional", "tion"}, {"alize", "al"}, {"icate", "ic"}, {"iciti", "ic"}, {"ative", ""},
		{"ical", "ic"}, {"ness", ""}, {"ful", ""},
	})
	n := len(w.before(len(e.suffix)))
	if ok && n >= w.r1 && (e.suffix != "ative" || n >= w.r2) {
		w.replace(e.suffix, e.with)
	}
}

func (w *stemming) step4() {
	e, ok := w.longest([]ending{
		{"ement", ""}, {"ance", ""}, {"ence", ""}, {"able", ""}, {"ible", ""}, {"ment", ""},
		{"ant", ""}, {"ent", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""}, {"ion", ""},
		{"al", ""}, {"er", ""}, {"ic", ""},
	})
	before := w.before(len(e.suffix))
	if !ok || len(before) < w.r2 {
		return
	}
	if e.suffix == "ion" && (len(before) == 0 || strings.IndexByte("st", before[len(before)-1]) < 0) {
		return
	}
	w.b = before
}

func (w *stemming) step5() {
	n := len(w.b)
	if n == 0 {
		return
	}
	switch w.b[n-1] {
	case 'e':
		if n-1 >= w.r2 || n-1 >= w.r1 && !shortSyllable(w.b[:n-1]) {
			w.b = w.b[:n-1]
		}
	case 'l':
		if n-1 >= w.r2 && n > 1 && w.b[n-2] == 'l' {
			w.b = w.b[:n-1]
		}
	}
}
