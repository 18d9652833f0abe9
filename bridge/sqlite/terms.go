package sqlite

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"slices"

	"github.com/parley-chat/parley"
)

// termSize is the size of a term of the index in bytes: the beginning of a hash.
// Among ten million terms one that is asked for is that of something else, too,
// with a chance of 1 : 100,000; then there is a hit more, and whoever looks at its
// text drops it.
const termSize = 5

// terms are what a document is found by, termSize bytes each.
type terms []byte

// termField tells what a term is made of.
type termField byte

const (
	termWord         termField = 'w'
	termConversation termField = 'c'
	termVisitor      termField = 'v'
	termSender       termField = 's'
)

// hasher makes the terms of one kind of stream of one site: those of others have
// nothing in common with them, so that a search does not touch them.
type hasher struct{ text []byte }

func newHasher(site string, kind parley.TopicKind) *hasher {
	return &hasher{text: []byte(site + "/" + string(kind) + "/")}
}

// add appends a term to all.
func (h *hasher) add(all terms, field termField, value string) terms {
	scope := len(h.text)
	h.text = append(append(h.text, byte(field)), value...)
	sum := sha256.Sum256(h.text)
	h.text = h.text[:scope]
	return append(all, sum[:termSize]...)
}

// sorted returns the distinct terms in order.
func (t terms) sorted() terms {
	list := slices.SortedFunc(slices.Chunk([]byte(t), termSize), bytes.Compare)
	return bytes.Join(slices.CompactFunc(list, bytes.Equal), nil)
}

// termLetters are such that SQLite's tokenizer takes eight of them for one word
// and changes nothing.
var termLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

// String returns the terms as SQLite's index gets them.
func (t terms) String() string {
	text := make([]byte, 0, len(t)/termSize*9)
	for term := range slices.Chunk(t, termSize) {
		if len(text) > 0 {
			text = append(text, ' ')
		}
		text = termLetters.AppendEncode(text, term)
	}
	return string(text)
}
