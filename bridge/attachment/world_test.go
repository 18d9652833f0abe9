package attachment_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/attachment"
	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ann   = parley.Identity{Site: "ste_a", User: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Name: "Ann"}
	bob   = parley.Identity{Site: "ste_a", User: "vis_bob", Device: "dev_1", Role: parley.RoleVisitor}
	boss  = parley.Identity{Site: "ste_a", User: "agt_boss", Device: "dev_1", Role: parley.RoleSupervisor}
	other = parley.Identity{Site: "ste_b", User: "agt_boss", Device: "dev_1", Role: parley.RoleOwner}
)

// world is a keeper on a real store and a real folder.
type world struct {
	*testing.T
	dir    string // of the blobs
	store  *sqlite.Store
	bridge *bridge.Bridge
	blobs  *blob.Dir
	keeper *attachment.Keeper
	clock  *atomic.Int64 // how far it is ahead
}

func newWorld(t *testing.T, change func(*attachment.Options)) *world {
	t.Helper()
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "attachments"), clock: &atomic.Int64{}}
	now := func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }
	w.store = must(sqlite.Open(t.Context(), sqlite.Options{Dir: filepath.Join(t.TempDir(), "store")}))(t)
	t.Cleanup(func() { _ = w.store.Close() })
	w.bridge = must(bridge.New(t.Context(), w.store, bridge.Options{Now: now, Released: func() { w.keeper.Release() }}))(t)
	t.Cleanup(func() { _ = w.bridge.Close() })
	w.blobs = must(blob.Open(w.dir, blob.Options{Now: now}))(t)
	o := attachment.Options{Rows: w.store, Blobs: w.blobs, Conversations: w.bridge, Now: now, Uploads: -1}
	if change != nil {
		change(&o)
	}
	w.keeper = attachment.New(o)
	return w
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) expectCode(what string, err error, code parley.Code) {
	w.Helper()
	if err == nil || parley.ErrorOf(err).Code != code {
		w.Errorf("%s: %v, want %s", what, err, code)
	}
}

// begin uploads all pieces of a file, and does not complete it.
func (w *world) begin(who parley.Identity, name string, data []byte) string {
	w.Helper()
	sum := sha256.Sum256(data)
	a := must(w.keeper.Begin(w.Context(), who, "cnv_1", name, int64(len(data)), hex.EncodeToString(sum[:])))(w)
	for at := 0; at < len(data); {
		n := min(len(data)-at, parley.MaxAttachmentChunk)
		end := must(w.keeper.Add(w.Context(), who, a.ID, int64(at), bytes.NewReader(data[at:at+n])))(w)
		if end != int64(at+n) {
			w.Fatalf("at %d, want %d", end, at+n)
		}
		at += n
	}
	return a.ID
}

func (w *world) upload(who parley.Identity, name string, data []byte) (parley.Attachment, error) {
	w.Helper()
	return w.keeper.Complete(w.Context(), who, w.begin(who, name, data))
}

func (w *world) send(who parley.Identity, id string, attachments ...string) parley.Entry {
	w.Helper()
	list := ""
	for i, a := range attachments {
		if i > 0 {
			list += ","
		}
		list += `{"id":"` + a + `"}`
	}
	d := must(parley.DecodeDraft([]byte(`{"id":"` + id + `","type":"text","body":{"text":"","attachments":[` + list + `]}}`)))(w)
	answers := must(w.bridge.Record(w.Context(), who, "cnv_1", []parley.Draft{d}))(w)
	if answers[0].Err != nil {
		w.Fatal(answers[0].Err)
	}
	return answers[0].Entry
}

func (w *world) remove(who parley.Identity, id string, seq string) {
	w.Helper()
	d := parley.Draft{ID: id, Type: parley.EntryDelete, Body: []byte(`{"seq":` + seq + `}`)}
	answers := must(w.bridge.Record(w.Context(), who, "cnv_1", []parley.Draft{d}))(w)
	if answers[0].Err != nil {
		w.Fatal(answers[0].Err)
	}
}

func (w *world) file(who parley.Identity, id string, thumbnail bool) ([]byte, parley.AttachmentFile, error) {
	w.Helper()
	f, err := w.keeper.File(w.Context(), who, id, thumbnail)
	if err != nil {
		return nil, f, err
	}
	defer f.Close()
	return must(io.ReadAll(f))(w), f, nil
}

// files returns the names of all files in the folder.
func (w *world) files() (list []string) {
	w.Helper()
	err := filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return list
}

func (w *world) state(id string) parley.AttachmentState {
	w.Helper()
	return must(w.store.Attachment(context.WithoutCancel(w.Context()), "ste_a", id))(w).State
}

func drawing(width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = byte(i)
	}
	for y := range height {
		m.SetNRGBA(0, y, color.NRGBA{R: 255, A: 255})
	}
	return m
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
