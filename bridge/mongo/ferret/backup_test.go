package ferret_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

// TestBackupAcross backs an embedded store up while 500 messages a second are written
// to it, restores that into a database, breaking off on the way, backs the database up
// while it is written to, through a connection of another process, and restores that
// into an embedded store. Each is a beginning of what it was made of.
func TestBackupAcross(t *testing.T) {
	from, err := sqlite.Open(t.Context(), sqlite.Options{Dir: filepath.Join(t.TempDir(), "from")})
	noError(t, err)
	t.Cleanup(func() { _ = from.Close() })
	storetest.Furnish(t, from, 10, 3)
	talk := storetest.StartTalk(t, from, 500, 10)
	talk.AwaitAcked(t, 100)
	file, end := backedUp(t, from, "sqlite")
	talk.Stop()

	uri := ferret.Start(t)
	fillAnew := func() *mongo.Filling {
		t.Helper()
		f, err := mongo.FillAnew(t.Context(), mongo.Options{URI: uri, NoProbe: true, Attempt: 20 * time.Second, Patience: time.Minute}, end.SHA256)
		noError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	f := fillAnew()
	epoch := f.Epoch()
	contents, err := backup.Open(bytes.NewReader(file), epoch, &backup.Gone{})
	noError(t, err)
	if _, err := mirror.Copy(t.Context(), contents, &brokenOff{Fillable: f, after: 8}, mirror.Options{}); err == nil {
		t.Error("it was not broken off")
	}
	noError(t, f.Close())
	if f = fillAnew(); f.Epoch() != epoch {
		t.Errorf("it goes on with the epoch %s, not %s", f.Epoch(), epoch)
	}
	if _, err := mongo.FillAnew(t.Context(), mongo.Options{URI: uri, NoProbe: true}, "something else"); err == nil {
		t.Error("another backup goes on where this one was broken off")
	}
	restored(t, file, f)
	now, _ := backedUp(t, from, "sqlite")
	lag, err := backup.Behind(t.Context(), f, nil, bytes.NewReader(now), end.Position)
	noError(t, err)
	if lag.Same != end.Entries {
		t.Errorf("%+v, of %+v", lag, end)
	}
	noError(t, f.Finish(t.Context()))
	noError(t, f.Close())

	there, beside := openStore(t, uri), openStore(t, uri)
	defer mustClose(t, there)
	defer mustClose(t, beside)
	talk = storetest.StartTalk(t, there, 20, 5)
	talk.AwaitAcked(t, 10)
	acked, _ := talk.Acked()
	file, end = backedUp(t, beside, "mongodb")
	talk.Stop()
	back, err := sqlite.FillAnew(t.Context(), sqlite.Options{Dir: filepath.Join(t.TempDir(), "back")}, end.SHA256)
	noError(t, err)
	t.Cleanup(func() { _ = back.Close() })
	restored(t, file, back)
	for stream, seq := range acked {
		if entries, err := back.Read(t.Context(), stream, seq-1, 1); err != nil || len(entries) != 1 {
			t.Errorf("%s: entry %d was acknowledged before, and is missing: %v", stream, seq, err)
		}
	}
	now, _ = backedUp(t, there, "mongodb")
	lag, err = backup.Behind(t.Context(), back, nil, bytes.NewReader(now), end.Position)
	noError(t, err)
	if lag.Same != end.Entries {
		t.Errorf("%+v, of %+v", lag, end)
	}
}

func backedUp(t *testing.T, from backup.Source, kind string) ([]byte, backup.End) {
	t.Helper()
	var file bytes.Buffer
	end, err := backup.Write(t.Context(), from, &file, backup.Options{Store: kind})
	noError(t, err)
	return file.Bytes(), end
}

// restored copies a backup, and compares it.
func restored(t *testing.T, file []byte, to bridge.Fillable) {
	t.Helper()
	_, _, gone, err := backup.Check(t.Context(), bytes.NewReader(file), backup.NewTombstones(), func(backup.Header, backup.Counts) {})
	noError(t, err)
	contents, err := backup.Open(bytes.NewReader(file), to.Epoch(), gone)
	noError(t, err)
	_, err = mirror.Copy(t.Context(), contents, to, mirror.Options{})
	noError(t, err)
	contents, err = backup.Open(bytes.NewReader(file), to.Epoch(), gone)
	noError(t, err)
	_, err = mirror.Compare(t.Context(), contents, to, mirror.Options{})
	noError(t, err)
}
