package seal_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/seal"
)

func TestBlocks(t *testing.T) {
	keys := newKeys(t, false)
	opened, err := openSealed(t.Context(), t.TempDir(), keys)
	must(t, err)
	s := opened.(sealed)
	defer closing(t, s)
	b, header, err := s.NewBlocks(t.Context(), site, "blob_1")
	must(t, err)
	keys, err = keys.With(seal.NewMasterKey(time.Now(), true))
	must(t, err)
	must(t, s.Use(keys)) // what was sealed before opens after
	awaitRotated(t, s.Store)
	block := bytes.Repeat([]byte("block "), 1000)
	stored := b.Seal(nil, block, 3, false)
	if len(header) != seal.BlockHeaderSize || len(stored) != len(block)+seal.BlockOverhead || bytes.Contains(stored, []byte("block ")) {
		t.Fatalf("a header of %d bytes, a block of %d", len(header), len(stored))
	}
	open := func(site, name string, header, sealed []byte, index int64, last bool) ([]byte, error) {
		b, err := s.OpenBlocks(site, name, header)
		if err != nil {
			return nil, err
		}
		return b.Open(nil, sealed, index, last)
	}
	if got, err := open(site, "blob_1", header, stored, 3, false); err != nil || !bytes.Equal(got, block) {
		t.Errorf("opened %d bytes, %v", len(got), err)
	}
	flipped := bytes.Clone(stored)
	flipped[100] ^= 1
	wrong := bytes.Clone(header)
	wrong[8] = 7
	for name, try := range map[string]func() ([]byte, error){
		"another site":  func() ([]byte, error) { return open("ste_b", "blob_1", header, stored, 3, false) },
		"another file":  func() ([]byte, error) { return open(site, "blob_2", header, stored, 3, false) },
		"another place": func() ([]byte, error) { return open(site, "blob_1", header, stored, 4, false) },
		"as the last":   func() ([]byte, error) { return open(site, "blob_1", header, stored, 3, true) },
		"a flipped bit": func() ([]byte, error) { return open(site, "blob_1", header, flipped, 3, false) },
		"cut":           func() ([]byte, error) { return open(site, "blob_1", header, stored[:20], 3, false) },
		"no header":     func() ([]byte, error) { return open(site, "blob_1", nil, stored, 3, false) },
		"another key":   func() ([]byte, error) { return open(site, "blob_1", wrong, stored, 3, false) },
	} {
		if got, err := try(); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestBlocksOfAPlainSite(t *testing.T) {
	s, err := openAs(t.Context(), t.TempDir(), newKeys(t, false))
	must(t, err)
	defer closing(t, s)
	if b, header, err := s.NewBlocks(t.Context(), site, "blob_1"); b != nil || header != nil || err != nil {
		t.Errorf("got %v, %x, %v", b, header, err)
	}
}
