package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// folder is blobs in memory.
type folder map[string][]byte

var errBitRot = errors.New("a bit has fallen over")

// Open opens one; of those called damaged, the end cannot be read.
func (f folder) Open(_ context.Context, name string) (io.ReadSeekCloser, int64, error) {
	data, ok := f[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	r := io.Reader(bytes.NewReader(data))
	if strings.Contains(name, "damaged") {
		r = io.MultiReader(bytes.NewReader(data[:len(data)-1]), iotest.ErrReader(errBitRot))
	}
	return struct {
		io.Reader
		io.Seeker
		io.Closer
	}{r, nil, io.NopCloser(nil)}, int64(len(data)), nil
}

func random(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	return data
}

// library is a store with files.
type library struct {
	*sqlite.Store
	bridge *bridge.Bridge
	folder folder
	sent   int
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	l := &library{Store: open(t, filepath.Join(t.TempDir(), "from")), folder: folder{}}
	var err error
	l.bridge, err = bridge.New(t.Context(), l.Store, bridge.Options{})
	must(t, err)
	t.Cleanup(func() { _ = l.bridge.Close() })
	return l
}

var ann = parley.Identity{Site: "ste_a", User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor}

// take makes an attachment that nobody has sent.
func (l *library) take(t *testing.T, id string, size int, suffix string) parley.Attachment {
	t.Helper()
	a := parley.Attachment{
		Site: "ste_a", ID: id, Conversation: "cnv_1", Uploader: ann.User, State: parley.AttachmentReady, Version: 1, At: 1, ChangedAt: 1,
		Name: "a.bin", Size: int64(size), Type: "image/png", Thumbnail: size%2 == 0,
	}
	must(t, l.SaveAttachment(t.Context(), a))
	l.folder[a.FileBlob()+suffix] = random(size)
	if a.Thumbnail {
		l.folder[a.ThumbnailBlob()+suffix] = random(100)
	}
	return a
}

// send makes an attachment that a message has, and returns the message's seq.
func (l *library) send(t *testing.T, id string, size int, suffix string) int64 {
	t.Helper()
	l.take(t, id, size, suffix)
	l.sent++
	return l.record(t, fmt.Sprintf(`{"id":"msg_%05d","type":"text","body":{"text":"","attachments":[{"id":"%s"}]}}`, l.sent, id))
}

func (l *library) record(t *testing.T, draft string) int64 {
	t.Helper()
	d, err := parley.DecodeDraft([]byte(draft))
	must(t, err)
	answers, err := l.bridge.Record(t.Context(), ann, "cnv_1", []parley.Draft{d})
	must(t, err)
	must(t, answers[0].Err)
	return answers[0].Entry.Seq
}

// backup writes a backup with files, and checks it.
func (l *library) backup(t *testing.T, from backup.Source) ([]byte, backup.End) {
	t.Helper()
	var file bytes.Buffer
	end, err := backup.Write(t.Context(), from, &file, backup.Options{Blobs: l.folder, Damaged: func(err error) bool { return errors.Is(err, errBitRot) }})
	must(t, err)
	must(t, check(file.Bytes()))
	return file.Bytes(), end
}

// filesOf returns the files of a backup.
func filesOf(t *testing.T, file []byte, gone *backup.Gone) (f folder, left int64) {
	t.Helper()
	f = folder{}
	n, left, err := backup.Files(t.Context(), bytes.NewReader(file), gone, func(name string, size int64, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err == nil && int64(len(data)) != size {
			t.Errorf("%s has %d bytes, %d are said", name, len(data), size)
		}
		if err == nil {
			f[name] = data
		}
		return err
	})
	must(t, err)
	if n != int64(len(f)) {
		t.Errorf("%d files, it says %d", len(f), n)
	}
	return f, left
}

func (l *library) expect(t *testing.T, got folder, without ...string) {
	t.Helper()
	for name, data := range l.folder {
		if slices.ContainsFunc(without, func(part string) bool { return strings.Contains(name, part) }) {
			if got[name] != nil {
				t.Errorf("%s is there", name)
			}
			continue
		}
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s has %d bytes of %d", name, len(got[name]), len(data))
		}
	}
	for name := range got {
		if l.folder[name] == nil {
			t.Errorf("%s is from nowhere", name)
		}
	}
}

// TestFiles backs up files of many sizes, sealed ones too, with two that are lost.
func TestFiles(t *testing.T) {
	l := newLibrary(t)
	for i, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 3<<20 - 1} {
		l.send(t, fmt.Sprintf("att_%d", i), size, []string{"", parley.SealedBlob}[i%2])
	}
	l.send(t, "att_damaged", 1<<20+7, "")
	l.send(t, "att_missing", 7, "")
	delete(l.folder, "ste_a.att_missing.file")
	l.folder["ste_a.att_nobody.file"] = []byte("of which nothing is known")
	must(t, l.SaveAttachment(t.Context(), parley.Attachment{Site: "ste_a", ID: "att_underway", State: parley.AttachmentTaking, Version: 1}))
	file, end := l.backup(t, l.Store)
	if want := int64(len(l.folder)) - 2; end.Blobs != want || end.Lost != 2 || end.LostNames != "ste_a.att_damaged.file ste_a.att_missing.file" {
		t.Errorf("it says %+v, want %d blobs", end, want)
	}
	f, gone := restore(t, file, backup.NewTombstones())
	got, left := filesOf(t, file, gone)
	l.expect(t, got, "damaged", "nobody")
	rows, err := f.Rows(t.Context(), bridge.RowAttachment, "", 100)
	must(t, err)
	if left != 0 || len(rows) != 7 || strings.Contains(fmt.Sprintf("%s", rows), "underway") {
		t.Errorf("%d files are left out; rows %s", left, rows)
	}

	lag, err := backup.Behind(t.Context(), f, got, bytes.NewReader(file), end.Position)
	must(t, err)
	if lag.SameFiles != end.Blobs || lag.NewerFiles != 0 || lag.LostFiles != 1 { // that it has half of
		t.Errorf("compared: %+v", lag)
	}
	got["ste_a.att_2.file"][5] ^= 1
	if _, err := backup.Behind(t.Context(), f, got, bytes.NewReader(file), end.Position); err == nil || !strings.Contains(err.Error(), "ste_a.att_2.file is another one") {
		t.Errorf("with another byte: %v", err)
	}
	delete(got, "ste_a.att_2.file")
	l.send(t, "att_newer", 5, "")
	later, _ := l.backup(t, l.Store)
	lag, err = backup.Behind(t.Context(), f, got, bytes.NewReader(later), end.Position)
	must(t, err)
	if lag.LostFiles != 2 || lag.NewerFiles != 1 || lag.SameFiles != end.Blobs-1 {
		t.Errorf("compared later: %+v", lag)
	}
}

// TestFilesThatAreGone restores a backup of before messages with files were deleted.
func TestFilesThatAreGone(t *testing.T) {
	l := newLibrary(t)
	stays, deleted := l.send(t, "att_stays", 6, ""), l.send(t, "att_deleted", 6, "")
	l.take(t, "att_ready", 5, "")
	file, _ := l.backup(t, l.Store)
	l.record(t, fmt.Sprintf(`{"id":"delete_01","type":"delete","body":{"seq":%d}}`, deleted))
	f, gone := restore(t, file, tombstones(t, collected(t, l.Store, 0)))
	got, left := filesOf(t, file, gone)
	l.expect(t, got, "deleted")
	rows, err := f.Rows(t.Context(), bridge.RowAttachment, "", 100)
	must(t, err)
	if left != 2 || len(rows) != 2 || stays == 0 {
		t.Errorf("%d files are left out; rows %s", left, rows)
	}
}

// claiming is a store whose row of an attachment is read before its message is settled.
type claiming struct{ *sqlite.Store }

func (s claiming) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	rows, err := s.Store.Rows(ctx, kind, after, limit)
	for i := range rows {
		if kind == bridge.RowAttachment {
			rows[i].Value = []byte(strings.Replace(strings.Replace(string(rows[i].Value), `"State":"going"`, `"State":"claimed"`, 1), `"Seq":2`, `"Seq":0`, 1))
		}
	}
	return rows, err
}

// TestFilesOfClaims backs up rows that do not know the seq of their message, which is
// deleted in the same backup.
func TestFilesOfClaims(t *testing.T) {
	l := newLibrary(t)
	seq := l.send(t, "att_1", 6, "")
	l.record(t, fmt.Sprintf(`{"id":"delete_01","type":"delete","body":{"seq":%d}}`, seq))
	file, _ := l.backup(t, claiming{l.Store})
	_, _, gone, err := backup.Check(t.Context(), bytes.NewReader(file), tombstones(t, collected(t, l.Store, 0)), nobody)
	must(t, err)
	if got, left := filesOf(t, file, gone); len(got) > 0 || left != 2 {
		t.Errorf("%d files are there, %d are left out", len(got), left)
	}
}

// TestDamagedFiles cuts a backup with files off, and flips bits of it.
func TestDamagedFiles(t *testing.T) {
	l := newLibrary(t)
	l.send(t, "att_1", 3_000, "")
	l.send(t, "att_2", 3_001, parley.SealedBlob)
	file, _ := l.backup(t, l.Store)
	for n := len(file) - 6_500; n < len(file); n += 97 {
		if err := check(file[:n]); !errors.Is(err, backup.ErrCutOff) {
			t.Errorf("cut off at %d: %v", n, err)
		}
		flipped := bytes.Clone(file)
		flipped[n] ^= 4
		if err := check(flipped); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrCutOff) && !errors.Is(err, backup.ErrNewer) {
			t.Errorf("a bit at %d: %v", n, err)
		}
	}
	ends := frames(file)
	for i := len(ends) - 4; i < len(ends)-2; i++ { // each of the blobs' frames is left out once
		if err := check(append(bytes.Clone(file[:ends[i]]), file[ends[i+1]:]...)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("frame %d is missing: %v", i, err)
		}
	}
}

// TestFilesFail stops with what cannot be read but is not damaged, and with whoever puts.
func TestFilesFail(t *testing.T) {
	l := newLibrary(t)
	l.send(t, "att_damaged", 3, "")
	var file bytes.Buffer
	if _, err := backup.Write(t.Context(), l.Store, &file, backup.Options{Blobs: l.folder}); !errors.Is(err, errBitRot) {
		t.Errorf("written: %v", err)
	}
	if err := check(file.Bytes()); !errors.Is(err, backup.ErrBroken) {
		t.Errorf("read: %v", err)
	}
	delete(l.folder, "ste_a.att_damaged.file")
	l.send(t, "att_1", 3, "")
	whole, end := l.backup(t, l.Store)
	_, _, gone, err := backup.Check(t.Context(), bytes.NewReader(whole), backup.NewTombstones(), nobody)
	must(t, err)
	if _, _, err := backup.Files(t.Context(), bytes.NewReader(whole), gone, func(string, int64, io.Reader) error { return errFails }); !errors.Is(err, errFails) {
		t.Errorf("put: %v", err)
	}
	without, left := write(t, l.Store)
	if left.Left != 2 || left.Blobs != 0 || end.Left != 0 || check(without.Bytes()) != nil {
		t.Errorf("without files it says %+v", left)
	}
}
