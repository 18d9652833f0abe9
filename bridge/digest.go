package bridge

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/parley-chat/parley"
)

// digester makes the keyed hash by which a store tells a repeated draft from
// the same id used with other content. It is keyed so that a digest that
// outlives its blanked body tells nothing about it.
type digester struct{ key []byte }

const digestSize = 16

func (d digester) of(t parley.EntryType, body []byte) []byte {
	h := hmac.New(sha256.New, d.key)
	h.Write([]byte(t))
	h.Write([]byte{0})
	h.Write(body)
	return h.Sum(nil)[:digestSize]
}
