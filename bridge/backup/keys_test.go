package backup_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// sealedLog is a store of which a site is sealed, and whose master keys change.
type sealedLog struct {
	*sqlite.Store
	t    *testing.T
	seal *seal.Store
	keys seal.Keys

	changes bool // when a backup has fixed its time
}

func newSealedLog(t *testing.T) *sealedLog {
	t.Helper()
	l := &sealedLog{Store: open(t, filepath.Join(t.TempDir(), "sealed")), t: t}
	var err error
	l.keys, err = seal.NewKeys(seal.NewMasterKey(time.Now(), false))
	must(t, err)
	l.seal, err = seal.Open(t.Context(), l.Store, seal.Options{Keys: l.keys})
	must(t, err)
	t.Cleanup(func() { _ = l.seal.Close() })
	must(t, l.seal.SealSite(t.Context(), "ste_a"))
	return l
}

func (l *sealedLog) say(id string) {
	l.t.Helper()
	_, err := l.seal.Append(l.t.Context(), parley.MessagesOf("ste_a", "cnv_1"), []parley.Entry{{
		ID: id, Sender: "vis_ann", Role: parley.RoleVisitor, Type: parley.EntryText, Body: []byte(`{"text":"` + canary + `"}`), Digest: bytes.Repeat([]byte("d"), 32),
	}}, parley.ExpectAny)
	must(l.t, err)
}

// rotate wraps the data keys with a new master key, and makes new ones.
func (l *sealedLog) rotate() {
	l.t.Helper()
	var err error
	l.keys, err = l.keys.With(seal.NewMasterKey(time.Now(), true))
	must(l.t, errors.Join(err, l.seal.Use(l.keys), l.seal.Rotate(context.WithoutCancel(l.t.Context()))))
}

// Ready is asked when the time of a backup has been fixed.
func (l *sealedLog) Ready(ctx context.Context) error {
	if l.changes {
		l.rotate()
	}
	return l.Store.Ready(ctx)
}

// readable fails unless a store can be read with master keys, and says what was said.
func readable(t *testing.T, f *restored, keys seal.Keys, messages int) {
	t.Helper()
	if _, err := seal.Check(t.Context(), f, keys); err != nil {
		t.Fatalf("with %s: %v", keys, err)
	}
	must(t, errors.Join(f.Finish(t.Context()), f.Close()))
	s, err := seal.Open(t.Context(), open(t, f.dir), seal.Options{Keys: keys})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	entries, err := s.Read(t.Context(), parley.MessagesOf("ste_a", "cnv_1"), 0, 100)
	must(t, err)
	for _, e := range entries {
		if string(e.Body) != `{"text":"`+canary+`"}` {
			t.Errorf("entry %d is %q", e.Seq, e.Body)
		}
	}
	if len(entries) != messages {
		t.Errorf("%d messages, want %d", len(entries), messages)
	}
}

// TestKeysChangeMeanwhile changes the master key, and has the store forget the one before,
// when a backup has just fixed up to which time it goes.
func TestKeysChangeMeanwhile(t *testing.T) {
	l := newSealedLog(t)
	l.say("msg_00001")
	l.rotate() // more than one record of each data key
	l.say("msg_00002")
	l.changes = true
	file, end := write(t, l)
	f, _ := restore(t, file.Bytes(), backup.NewTombstones())
	now, _ := write(t, l.Store)
	if lag, err := backup.Behind(t.Context(), f, nil, now, end.Position); err != nil || lag.Newer != 0 || lag.Emptied != 0 {
		t.Errorf("compared: %+v, %v", lag, err)
	}
	newest, err := seal.NewKeys(l.keys.Newest())
	must(t, err)
	readable(t, f, newest, 2)
}

// TestKeysOfBefore restores a backup from before the master key was changed, with the
// tombstones of afterwards: what a rotation takes from the store is not deleted.
func TestKeysOfBefore(t *testing.T) {
	l := newSealedLog(t)
	l.rotate() // more than one record of each data key
	l.say("msg_00001")
	file, end := write(t, l)
	was := l.keys
	l.rotate()
	l.say("msg_00002")
	f, gone := restore(t, file.Bytes(), tombstones(t, collected(t, l, 0)))
	if gone.Entries != 0 {
		t.Errorf("%d entries are left out", gone.Entries)
	}
	now, _ := write(t, l)
	if lag, err := backup.Behind(t.Context(), f, nil, now, end.Position); err != nil || lag.Newer != 1 || lag.Emptied != 0 {
		t.Errorf("compared: %+v, %v", lag, err)
	}
	newest, err := seal.NewKeys(l.keys.Newest())
	must(t, err)
	if _, err := seal.Check(t.Context(), f, newest); !errors.Is(err, seal.ErrKeys) {
		t.Errorf("with the newest key only: %v", err)
	}
	readable(t, f, was, 1)
}
