package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"sync"
)

// dataKey is one of a site's data keys, and what is derived from it: a key for each
// purpose, so that what was sealed for one is nothing for another.
type dataKey struct {
	number uint64 // 1, 2, 3 … within the site
	born   string // id of the newest master key when it was made
	key    []byte

	entries, rows, blocks *xaes
	nonces                []byte // the key of those that are made of what is sealed
}

func newDataKey(number uint64, born string, key []byte) *dataKey {
	if key == nil {
		key = make([]byte, keySize)
		_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	}
	return &dataKey{
		number: number, born: born, key: key,
		entries: newXAES(derive(key, "entries")), rows: newXAES(derive(key, "rows")), blocks: newXAES(derive(key, "blocks")),
		nonces: derive(key, "nonces"),
	}
}

// derive returns the key for one purpose.
func derive(key []byte, purpose string) []byte {
	derived, err := hkdf.Expand(sha256.New, key, "parley/seal/1/"+purpose, keySize)
	if err != nil {
		panic("seal: " + err.Error()) // the length is fixed, and short
	}
	return derived
}

// nonce is how a nonce is made for what is sealed at a place. nil stands for random ones.
type nonce func(place, plain []byte) []byte

// repeatable makes the same nonce again for the same text at the same place, and for
// nothing else: what is sealed twice is the same twice.
func (k *dataKey) repeatable(place, plain []byte) []byte {
	h := hmac.New(sha256.New, k.nonces)
	h.Write(about(string(place), string(plain)))
	return h.Sum(nil)[:nonceSize]
}

// sealAs appends the ciphertext of plain, as x seals it, to nothing.
func sealAs(x *xaes, n nonce, plain, place []byte) []byte {
	if n == nil {
		return x.seal(nil, plain, place)
	}
	return x.sealWith(nil, n(place, plain), plain, place)
}

// blinder makes blind tokens of a site's search index, and hides digests. Its keys come
// from the site's first data key and never change: the same word has the same token, and
// the same draft the same digest, for ever.
type blinder struct {
	tokens, synthetic *sync.Pool
	stream            cipher.Block
}

func newBlinder(first []byte) *blinder {
	pool := func(purpose string) *sync.Pool {
		key := derive(first, purpose)
		return &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	}
	block, err := aes.NewCipher(derive(first, "digest cipher"))
	if err != nil {
		panic("seal: " + err.Error()) // the key has the size of AES-256
	}
	return &blinder{tokens: pool("tokens"), synthetic: pool("digests"), stream: block}
}

// tokenSize is how much of a token's HMAC is kept, in bytes: among 2^40 words there is
// hardly a pair with the same, and a hit too many is dropped by who looks at its text.
const tokenSize = 12

// token returns the blind token of a word.
func (b *blinder) token(word string) string {
	h := b.tokens.Get().(hash.Hash)
	defer b.tokens.Put(h)
	h.Reset()
	h.Write([]byte(word))
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0])[:tokenSize])
}

func (b *blinder) all(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	blind := make([]string, len(words))
	for i, w := range words {
		blind[i] = b.token(w)
	}
	return blind
}

// syntheticSize is that of what is in front of a hidden digest, in bytes.
const syntheticSize = aes.BlockSize

// hide returns digest so that it tells nothing without the key, not even that another
// entry has the same: encrypted under a nonce made of itself and of the place (SIV), so
// that a repeat is hidden in the same way.
func (b *blinder) hide(digest, place []byte) []byte {
	hidden := append(b.nonce(digest, place), digest...)
	cipher.NewCTR(b.stream, hidden[:syntheticSize]).XORKeyStream(hidden[syntheticSize:], hidden[syntheticSize:])
	return hidden
}

// show returns what hide was given; ok is false for what was never hidden.
func (b *blinder) show(hidden, place []byte) (digest []byte, ok bool) {
	if len(hidden) < syntheticSize {
		return nil, false
	}
	digest = make([]byte, len(hidden)-syntheticSize)
	cipher.NewCTR(b.stream, hidden[:syntheticSize]).XORKeyStream(digest, hidden[syntheticSize:])
	return digest, hmac.Equal(b.nonce(digest, place), hidden[:syntheticSize])
}

func (b *blinder) nonce(digest, place []byte) []byte {
	h := b.synthetic.Get().(hash.Hash)
	defer b.synthetic.Put(h)
	h.Reset()
	h.Write(about(string(place), string(digest)))
	return h.Sum(make([]byte, 0, sha256.Size+len(digest)))[:syntheticSize]
}
