package backup_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/sqlite"
	"github.com/parley-chat/parley/bridge/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, from backup.Source) (*bytes.Buffer, backup.End) {
	t.Helper()
	var file bytes.Buffer
	end, err := backup.Write(t.Context(), from, &file, backup.Options{Parley: "test", Store: "sqlite"})
	must(t, err)
	return &file, end
}

func nobody(backup.Header, backup.Counts) {}

func check(file []byte) error {
	_, _, _, err := backup.Check(context.Background(), bytes.NewReader(file), backup.NewTombstones(), nobody)
	return err
}

// restored is a store that was made of a backup.
type restored struct {
	*sqlite.Filling
	dir string
}

// restore makes a store of a backup, and compares it with the backup.
func restore(t *testing.T, file []byte, tombs *backup.Tombstones) (*restored, *backup.Gone) {
	t.Helper()
	_, end, gone, err := backup.Check(t.Context(), bytes.NewReader(file), tombs, nobody)
	must(t, err)
	f := &restored{dir: filepath.Join(t.TempDir(), "restored")}
	f.Filling, err = sqlite.FillAnew(t.Context(), sqlite.Options{Dir: f.dir}, end.SHA256)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	for _, do := range []func(*backup.Contents) (mirror.Progress, error){
		func(c *backup.Contents) (mirror.Progress, error) {
			return mirror.Copy(t.Context(), c, f, mirror.Options{})
		},
		func(c *backup.Contents) (mirror.Progress, error) {
			return mirror.Compare(t.Context(), c, f, mirror.Options{})
		},
	} {
		c, err := backup.Open(bytes.NewReader(file), f.Epoch(), gone)
		must(t, err)
		done, err := do(c)
		must(t, err)
		if done.Rows > end.Rows || done.Rows < end.Rows-gone.Entries || done.Streams != end.Streams || done.Entries != end.Entries {
			t.Errorf("went through %+v of %+v", done, end)
		}
	}
	return f, gone
}

// renumbered is a store that says it has another epoch, so that it can be compared
// with its copy.
type renumbered struct {
	*sqlite.Store
	epoch string
}

func (r renumbered) Epoch() string { return r.epoch }

func TestRoundTrip(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 2300, 700) // more than fits on a page
	file, end := write(t, from)
	if end.Entries < 2800 || end.Rows < 700 || end.Streams < 36 {
		t.Errorf("the backup has %+v", end)
	}
	f, gone := restore(t, file.Bytes(), backup.NewTombstones())
	if gone.Entries != 0 || f.Epoch() == from.Epoch() || !parley.ValidID(f.Epoch()) {
		t.Errorf("%d entries are left out, the epoch is %s", gone.Entries, f.Epoch())
	}
	_, err := mirror.Compare(t.Context(), renumbered{from, f.Epoch()}, f, mirror.Options{})
	must(t, err)
	header, skimmed, err := backup.Skim(t.Context(), bytes.NewReader(file.Bytes()), nobody)
	must(t, err)
	if skimmed != end || header.Epoch != from.Epoch() || header.Store != "sqlite" || header.Warning == "" {
		t.Errorf("it says %+v, %+v", header, skimmed)
	}
}

// TestWhileWritten backs a store up while 500 messages a second are written to it. Each
// stream is a beginning, everything that was acknowledged before is in it, and all end
// at one time.
func TestWhileWritten(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 1100, 20)
	talk := storetest.StartTalk(t, from, 500, 40)
	defer talk.Stop()
	for round := range 3 {
		talk.AwaitAcked(t, 300*(round+1))
		acked, before := talk.Acked()
		file, end := write(t, slow{from})
		if _, after := talk.Acked(); after == before {
			t.Error("nobody wrote meanwhile")
		}
		f, _ := restore(t, file.Bytes(), backup.NewTombstones())
		for stream, seq := range acked {
			head, err := f.Read(t.Context(), stream, seq-1, 1)
			if err != nil || len(head) != 1 {
				t.Errorf("%s: entry %d was acknowledged before, and is missing: %v", stream, seq, err)
			}
		}
		now, _ := write(t, from)
		lag, err := backup.Behind(t.Context(), f, nil, now, end.Position)
		must(t, err)
		if lag.Newer == 0 || lag.Same != end.Entries {
			t.Errorf("compared %+v with %+v", lag, end)
		}
	}
}

// TestDeviceComesMeanwhile backs a store up to which a device connects between the
// reading of its sessions and that of its cursors.
func TestDeviceComesMeanwhile(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 10, 3)
	cursors, err := from.Rows(t.Context(), bridge.RowCursor, "", 100)
	must(t, err)
	file, _ := write(t, coming{from, t})
	f, _ := restore(t, file.Bytes(), backup.NewTombstones())
	restored, err := f.Rows(t.Context(), bridge.RowCursor, "", 100)
	must(t, err)
	if len(restored) != len(cursors) || len(cursors) == 0 {
		t.Errorf("%d cursors, want %d", len(restored), len(cursors))
	}
}

// coming is a store to which a device connects when its cursors are about to be read.
type coming struct {
	*sqlite.Store
	t *testing.T
}

func (c coming) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	if kind == bridge.RowCursor && after == "" {
		session, err := c.Connect(ctx, "ste_a.vis_new.dev_1", false, time.Hour)
		must(c.t, err)
		must(c.t, c.SaveSubscription(ctx, session.Device, session.Generation, parley.SubscriptionSave{
			Subscription: parley.Subscription{Filter: "p1/ste_a/c/+/messages", QoS: 1},
			Starts:       []parley.Cursor{{Stream: parley.MessagesOf("ste_a", "cnv_1"), Epoch: c.Epoch(), Seq: 3}},
		}))
	}
	return c.Store.Rows(ctx, kind, after, limit)
}

// slow makes a backup of a small store take as long as one of a large one.
type slow struct{ *sqlite.Store }

func (s slow) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if strings.Contains(string(stream), "talk") {
		if _, err := s.NewestAt(ctx); err != nil { // waits until what is written now is in the tables
			return nil, err
		}
	}
	return s.Store.Read(ctx, stream, after, limit)
}

// small is the backup of a store with little in it.
func small(t *testing.T) []byte {
	t.Helper()
	from := open(t, filepath.Join(t.TempDir(), "from"))
	for i := range 3 {
		add(t, from, fmt.Sprintf("msg_%05d", i), parley.EntryText, `{"text":"hello"}`)
	}
	must(t, from.PutSite(t.Context(), parley.Site{ID: "ste_a", Key: "key_a", Name: "A"}))
	file, _ := write(t, from)
	return file.Bytes()
}

func add(t *testing.T, s *sqlite.Store, id string, kind parley.EntryType, body string) {
	t.Helper()
	answers, err := s.Append(t.Context(), parley.MessagesOf("ste_a", "cnv_1"), []parley.Entry{{
		ID: id, Sender: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Type: kind, Body: []byte(body), Digest: []byte("digest"),
	}}, parley.ExpectAny)
	must(t, err)
	must(t, answers[0].Err)
}

// frames returns where the frames of a backup end.
func frames(file []byte) (ends []int) {
	for at := len(backup.Magic); at < len(file); {
		at += 5 + int(binary.BigEndian.Uint32(file[at+1:])) + 4
		ends = append(ends, at)
	}
	return ends
}

// TestCutOff cuts a backup off at every frame and at random bytes.
func TestCutOff(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 1100, 100)
	file, _ := write(t, from)
	whole := file.Bytes()
	cuts := append([]int{len(backup.Magic)}, frames(whole)...)
	if len(cuts) < 4 {
		t.Fatalf("there are %d frames", len(cuts))
	}
	for range 200 {
		cuts = append(cuts, len(backup.Magic)+rand.IntN(len(whole)-len(backup.Magic)))
	}
	for _, at := range cuts {
		err := check(whole[:at])
		if at == len(whole) {
			must(t, err)
		} else if !errors.Is(err, backup.ErrCutOff) {
			t.Errorf("cut off at %d of %d: %v", at, len(whole), err)
		}
	}
	for at := range len(backup.Magic) {
		if err := check(whole[:at]); !errors.Is(err, backup.ErrForeign) {
			t.Errorf("cut off at %d: %v", at, err)
		}
	}
}

// TestFlips changes every byte of a small backup, and one bit of each.
func TestFlips(t *testing.T) {
	whole := small(t)
	must(t, check(whole))
	for at := range whole {
		for _, by := range []byte{0xff, 1 << (at % 8)} {
			flipped := bytes.Clone(whole)
			flipped[at] ^= by
			if check(flipped) == nil {
				t.Errorf("byte %d changed by %#x is not noticed", at, by)
			}
		}
	}
	if err := check(append(bytes.Clone(whole), 0)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
	ends := frames(whole)
	swapped := append(bytes.Clone(whole[:ends[0]]), whole[ends[1]:]...) // a frame is left out
	if err := check(swapped); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a frame is missing: %v", err)
	}
}

// TestOthers reads files that are no backup, and backups of versions to come.
func TestOthers(t *testing.T) {
	frame := func(kind byte, payload string) string {
		head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
		all := string(head) + payload
		return all + string(binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(all), crc32.MakeTable(crc32.Castagnoli))))
	}
	header := `{"format":1,"epoch":"epo_a"}`
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"nothing":       {"", backup.ErrForeign},
		"a text":        {"Dear Sir or Madam,\nthis is not what you think", backup.ErrForeign},
		"a newer one":   {backup.Magic + frame('H', `{"format":2,"what":["ever"]}`), backup.ErrNewer},
		"other frames":  {backup.Magic + frame('H', header) + frame('Q', "…"), backup.ErrNewer},
		"no piece":      {backup.Magic + frame('H', header) + frame('B', "…"), backup.ErrDamaged},
		"a path":        {backup.Magic + frame('H', header) + frame('B', `{"name":"ste_a.../../etc/x.file","size":1,"at":0}`+"\nx"), backup.ErrDamaged},
		"nobody's":      {backup.Magic + frame('H', header) + frame('B', `{"name":"ste_a.att_1.file","size":2,"at":0}`+"\nx"), backup.ErrDamaged},
		"broken off":    {backup.Magic + frame('H', header) + frame('X', "the disk is on fire"), backup.ErrBroken},
		"no header":     {backup.Magic + frame('D', ""), backup.ErrDamaged},
		"no epoch":      {backup.Magic + frame('H', `{"format":1}`), backup.ErrDamaged},
		"another hash":  {backup.Magic + frame('H', header) + frame('E', `{"sha256":"00"}`), backup.ErrDamaged},
		"not zstd":      {backup.Magic + frame('H', header) + frame('D', "plain"), backup.ErrDamaged},
		"a long length": {backup.Magic + "H\xff\xff\xff\xff", backup.ErrDamaged},
	} {
		if err := check([]byte(c.file)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

var errFails = errors.New("the disk is on fire")

// failing is a store that cannot be read any more after a while.
type failing struct{ *sqlite.Store }

func (failing) Streams(context.Context, parley.Stream, int) ([]bridge.StreamState, error) {
	return nil, errFails
}

// TestBrokenOff reads what a source leaves that fails.
func TestBrokenOff(t *testing.T) {
	from := open(t, filepath.Join(t.TempDir(), "from"))
	storetest.Furnish(t, from, 60, 3)
	var file bytes.Buffer
	if _, err := backup.Write(t.Context(), failing{from}, &file, backup.Options{}); !errors.Is(err, errFails) {
		t.Errorf("written: %v", err)
	}
	if err := check(file.Bytes()); !errors.Is(err, backup.ErrBroken) || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("read: %v", err)
	}
}
