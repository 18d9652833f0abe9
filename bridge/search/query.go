package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley"
)

// Limits of a query.
const (
	MaxQueryRunes  = 200 // as it is typed
	MaxQueryTerms  = 16
	MaxQueryTokens = 64 // see Query.Tokens
)

// Query is what somebody searches for. The zero value matches nothing. Queries
// are never changed; goroutines may share them.
type Query struct {
	terms  [][]atom // all are required; the atoms of one stand together
	tokens []string
}

// Parse reads a query as somebody types it; the package comment tells the rules.
// An error is a *parley.Error with parley.CodeInvalid: there is nothing in it to
// search for, or more than the limits allow.
func Parse(query string) (Query, error) {
	if !utf8.ValidString(query) {
		return Query{}, parley.Errorf(parley.CodeInvalid, "the search is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(query); n > MaxQueryRunes {
		return Query{}, parley.Errorf(parley.CodeInvalid, "the search has %d characters, at most %d are allowed", n, MaxQueryRunes)
	}
	var q Query
	for _, text := range termsOf(query) {
		if atoms := split(text); len(atoms) > 0 && !q.has(atoms) {
			q.terms = append(q.terms, atoms)
		}
	}
	if len(q.terms) == 0 {
		return Query{}, parley.Errorf(parley.CodeInvalid, "nothing to search for: give at least one word, number, character or emoji")
	}
	if n := len(q.terms); n > MaxQueryTerms {
		return Query{}, parley.Errorf(parley.CodeInvalid, "the search has %d terms, at most %d are allowed", n, MaxQueryTerms)
	}
	for _, term := range q.terms {
		q.tokens = appendRequired(q.tokens, term)
	}
	if n := len(q.tokens); n > MaxQueryTokens {
		return Query{}, parley.Errorf(parley.CodeInvalid,
			"the search has %d words or pairs of characters, at most %d are allowed: leave some out", n, MaxQueryTokens)
	}
	q.tokens = distinct(q.tokens)
	return q, nil
}

// Tokens returns the tokens that every text has which q matches, distinct and
// sorted: at least one, at most MaxQueryTokens. Those that others imply are left
// out. Nobody writes to them.
func (q Query) Tokens() []string { return q.tokens }

// termsOf cuts a query at spaces that are not between quotation marks. A mark
// that is not closed reaches to the end.
func termsOf(query string) []string {
	quoted := false
	return strings.FieldsFunc(query, func(r rune) bool {
		switch r {
		case '"', '“', '”', '„', '＂':
			quoted = !quoted
			return true
		}
		return !quoted && unicode.IsSpace(r)
	})
}

// has reports whether the same term is in q already.
func (q Query) has(term []atom) bool {
	return slices.ContainsFunc(q.terms, func(t []atom) bool {
		return slices.EqualFunc(t, term, func(a, b atom) bool { return a.same(b) && a.tight == b.tight })
	})
}

// appendRequired appends the tokens that every text has in which the atoms of
// term stand together: pairs, and what is in none.
func appendRequired(tokens []string, term []atom) []string {
	paired := false // the atom is in a pair with the one before it
	for i, a := range term {
		if i+1 < len(term) {
			if pair, ok := pairOf(a, term[i+1]); ok {
				tokens, paired = append(tokens, pair), true
				continue
			}
		}
		if !paired {
			tokens = append(tokens, a.token())
		}
		paired = false
	}
	return tokens
}
