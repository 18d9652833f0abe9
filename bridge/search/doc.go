// Package search decides which words a text is found by and whether a query
// matches it: the same pure functions for every store, so that they answer alike.
//
// # For somebody who searches
//
// Terms are separated by spaces, and all of them are required, in any order:
//
//	退款 SO-2026/0815     both, anywhere in the message
//	"please call me"      these words, one behind the other
//	退款                  the two characters side by side
//
// What is written without a space stands together: 订单号123, wang.lei@example.com,
// 138-0013-8000 and v2.10.3 are found as a whole, whatever punctuation or space is
// between the parts. “…” and "…" keep spaces inside a term. There are no
// operators: * ( ) - + : and other punctuation only separate.
//
// Upper and lower case, full-width and half-width forms, accents (é, ü, ё) and the
// colour of a hand or face in an emoji make no difference. English words are found
// in their other forms (refund, refunded, refunds). Chinese, Japanese, Korean, Thai,
// Lao, Khmer and Burmese are found by any characters that stand side by side, from
// one character on. Other words and numbers are found as a whole: 0815 finds
// SO-2026/0815 and not 10815. A number written in one finds the ones that are
// grouped: 13800138000 finds 138-0013-8000 and 1299 finds 1,299, not the other way
// round. Simplified and traditional characters differ.
//
// # For somebody who writes a store
//
// Index [Tokens] of the text that readers see now. Answer a query from the entries
// that have all of [Query.Tokens], and keep those for which [Query.Match] says where
// it matches: an index over Tokens misses none. Tokens are whole: nothing ever needs
// a prefix of one, so that a keyed hash of each serves as well. They stay the same
// as long as [Version] does; an index of another version is to be built anew.
//
// All work is linear in the length of the text; that of Match also grows with the
// query, which [Parse] bounds.
package search
