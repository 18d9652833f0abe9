package seal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestXAES opens and makes the ciphertexts of the algorithm's specification.
func TestXAES(t *testing.T) {
	for _, c := range []struct {
		key         byte
		about, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		x := newXAES(bytes.Repeat([]byte{c.key}, keySize))
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		sealed := x.sealWith(nil, nonce, []byte("XAES-256-GCM"), []byte(c.about))
		if got := hex.EncodeToString(sealed[nonceSize:]); got != c.want {
			t.Errorf("key %d: got %s, want %s", c.key, got, c.want)
		}
		if plain, err := x.open(nil, sealed, []byte(c.about)); err != nil || string(plain) != "XAES-256-GCM" {
			t.Errorf("key %d: opened as %q, %v", c.key, plain, err)
		}
	}
}

// TestXAESTakesNothingElse flips each bit of a ciphertext, and cuts it everywhere.
func TestXAESTakesNothingElse(t *testing.T) {
	x := newXAES(make([]byte, keySize))
	sealed := x.seal(nil, []byte("hello"), []byte("here"))
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if plain, err := x.open(nil, bad, []byte("here")); err == nil {
			t.Fatalf("bit %d is flipped, and it opens as %q", i, plain)
		}
	}
	for n := range len(sealed) {
		if _, err := x.open(nil, sealed[:n], []byte("here")); err == nil {
			t.Fatalf("the first %d bytes open", n)
		}
	}
	if _, err := x.open(nil, sealed, []byte("there")); err == nil {
		t.Error("it opens at another place")
	}
	if bytes.Equal(sealed, x.seal(nil, []byte("hello"), []byte("here"))) {
		t.Error("two ciphertexts are the same")
	}
}
