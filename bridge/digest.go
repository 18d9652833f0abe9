package bridge

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/parley-chat/parley"
)

// digester makes the keyed hash by which a store tells a repeated draft from
// the same id used with other content. It is keyed so that a digest that
// outlives its blanked body tells nothing about it.
type digester struct{ hashes *sync.Pool }

func newDigester(key []byte) digester {
	return digester{hashes: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

const digestSize = 16

func (d digester) of(t parley.EntryType, body []byte) []byte {
	h := d.hashes.Get().(hash.Hash) // made with the key once: that is half of the work
	defer d.hashes.Put(h)
	h.Reset()
	h.Write([]byte(t))
	h.Write([]byte{0})
	h.Write(body)
	return h.Sum(nil)[:digestSize]
}
