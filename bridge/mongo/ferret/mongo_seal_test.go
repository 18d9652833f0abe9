package ferret_test

import (
	"errors"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/storetest"
)

// sealedStore is a seal in front of a store, which is closed with it.
type sealedStore struct {
	*seal.Store
	behind *mongo.Store
}

func (s sealedStore) Close() error { return errors.Join(s.Store.Close(), s.behind.Close()) }

// sealedOpener opens stores all of whose sites are sealed.
func sealedOpener(t *testing.T) storetest.Open {
	keys, err := seal.NewKeys(seal.NewMasterKey(time.Now(), false))
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]string{}
	return func(t *testing.T, dir string) bridge.Store {
		t.Helper()
		behind := openStore(t, databaseOf(t, servers, dir))
		s, err := seal.Open(t.Context(), behind, seal.Options{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SealNewSites(t.Context()); err != nil {
			t.Fatal(err)
		}
		return sealedStore{s, behind}
	}
}

func TestContractSealed(t *testing.T) { storetest.Run(t, sealedOpener(t), storetest.Small) }

func TestSearchCorpusSealed(t *testing.T) { storetest.SearchCorpus(t, sealedOpener(t), 100) }

// TestRotateSealed changes the master key; the database forgets the old one.
func TestRotateSealed(t *testing.T) {
	servers, dir := map[string]string{}, t.TempDir()
	behind := openStore(t, databaseOf(t, servers, dir))
	defer func() {
		if err := behind.Close(); err != nil {
			t.Error(err)
		}
	}()
	keys, err := seal.NewKeys(seal.NewMasterKey(time.Now(), false))
	if err != nil {
		t.Fatal(err)
	}
	open := func(keys seal.Keys) (*seal.Store, error) {
		return seal.Open(t.Context(), behind, seal.Options{Keys: keys})
	}
	s, err := open(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SealSite(t.Context(), "ste_a"); err != nil {
		t.Fatal(err)
	}
	both, err := keys.With(seal.NewMasterKey(time.Now(), true))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Use(both), s.Rotate(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := open(keys); !errors.Is(err, seal.ErrKeys) {
		t.Errorf("with the old key: %v", err)
	}
	newest, err := seal.NewKeys(both.Newest())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = open(newest); err != nil {
		t.Fatal(err)
	}
	sites, _ := s.Status()
	if len(sites) != 1 || len(sites[0].Keys) != 2 {
		t.Errorf("status: %+v", sites)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
