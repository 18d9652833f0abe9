package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
)

// Sizes in bytes.
const (
	keySize   = 32
	nonceSize = 24
	tagSize   = 16
)

// errCiphertext is what opening fails with that was not sealed so: changed, moved, or
// under another key.
var errCiphertext = errors.New("the ciphertext is damaged, or was sealed with another key or for another place")

// xaes is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key of its own for
// each of 2^96 halves of a 192-bit nonce. With random nonces 2^80 messages may be sealed
// under one key, of any size that AES-GCM takes, before two of them collide with a
// chance of 2^-32; nobody has to count. It is safe for concurrent use.
type xaes struct {
	block  cipher.Block
	subkey [aes.BlockSize]byte // K1 of CMAC
}

func newXAES(key []byte) *xaes {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("seal: " + err.Error()) // keys have keySize bytes everywhere
	}
	x := &xaes{block: block}
	block.Encrypt(x.subkey[:], x.subkey[:])
	var carry byte
	for i := len(x.subkey) - 1; i >= 0; i-- {
		x.subkey[i], carry = x.subkey[i]<<1|carry, x.subkey[i]>>7
	}
	x.subkey[len(x.subkey)-1] ^= byte(subtle.ConstantTimeSelect(int(carry), 0b10000111, 0))
	return x
}

// gcm returns the cipher of the first half of a nonce.
func (x *xaes) gcm(half []byte) cipher.AEAD {
	var key [keySize]byte
	for i := range 2 {
		part := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
		part[1], part[2] = byte(i+1), 'X'
		copy(part[4:], half)
		subtle.XORBytes(part, part, x.subkey[:])
		x.block.Encrypt(part, part)
	}
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			return aead
		}
	}
	panic("seal: " + err.Error()) // the key and the block have the sizes of AES-256
}

// seal appends a nonce, the ciphertext of plain and its tag to dst.
func (x *xaes) seal(dst, plain, about []byte) []byte {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	return x.sealWith(dst, nonce[:], plain, about)
}

func (x *xaes) sealWith(dst, nonce, plain, about []byte) []byte {
	dst = append(dst, nonce...)
	return x.gcm(nonce[:nonceSize/2]).Seal(dst, nonce[nonceSize/2:], plain, about)
}

// open appends to dst what seal was given.
func (x *xaes) open(dst, sealed, about []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, errCiphertext
	}
	plain, err := x.gcm(sealed[:nonceSize/2]).Open(dst, sealed[nonceSize/2:nonceSize], sealed[nonceSize:], about)
	if err != nil {
		return nil, errCiphertext
	}
	return plain, nil
}
