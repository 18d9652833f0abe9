package search_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/internal/corpus"
)

// In support talk Chinese is found exactly where it is written, and a text that
// has all words of a query as they are typed is found. Two plain ways to tell.
func TestMatchIsWhatPlainEyesSee(t *testing.T) {
	c := corpus.New(5)
	const messages = 500
	texts := make([]string, messages)
	words := make([]map[string]bool, messages)
	for i := range texts {
		texts[i] = c.Message(i).Text
		words[i] = map[string]bool{}
		for _, w := range latinWords(texts[i]) {
			words[i][w] = true
		}
	}
	hits := 0
	for _, q := range c.Queries(12, messages) {
		parsed, err := search.Parse(q.Text)
		if err != nil {
			t.Fatalf("%q: %v", q.Text, err)
		}
		for i, text := range texts {
			found := parsed.Match(text) != nil
			if found {
				hits++
			}
			switch q.Class {
			case corpus.OneCharacter, corpus.TwoCharacters, corpus.Characters:
				if found != strings.Contains(text, q.Text) {
					t.Errorf("%q in %q: %v", q.Text, text, found)
				}
			case corpus.English:
				if hasAll(words[i], latinWords(q.Text)) && !found {
					t.Errorf("%q is not found in %q", q.Text, text)
				}
			case corpus.Miss:
				if found {
					t.Errorf("%q in %q", q.Text, text)
				}
			}
		}
	}
	if hits < messages {
		t.Errorf("only %d hits", hits)
	}
}

// latinWords returns the words of ASCII letters that stand alone.
func latinWords(text string) []string {
	var words []string
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" .,!?:;", r) }) {
		if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" {
			words = append(words, w)
		}
	}
	return words
}

func hasAll(words map[string]bool, wanted []string) bool {
	for _, w := range wanted {
		if !words[w] {
			return false
		}
	}
	return true
}
