package attachment_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/attachment"
)

func TestLife(t *testing.T) {
	w := newWorld(t, nil)
	text := bytes.Repeat([]byte("The quick brown fox. "), 500_000) // 10 MB, three pieces
	a := must(w.upload(ann, `C:\tmp\..\fox.exe`, text))(t)
	if a.Name != "fox.exe.txt" || a.Type != "text/plain" || a.Size != int64(len(text)) || a.State != parley.AttachmentReady || a.Thumbnail {
		t.Errorf("attachment %+v", a)
	}
	picture := must(w.upload(ann, "a.png", jpegOf(t, drawing(900, 600))))(t)
	if picture.Name != "a.png.jpg" || picture.Type != "image/jpeg" || picture.Width != 900 || picture.Height != 600 || !picture.Thumbnail {
		t.Errorf("picture %+v", picture)
	}
	again := must(w.keeper.Complete(t.Context(), ann, a.ID))(t)
	if again.Version != a.Version {
		t.Errorf("completed again: %+v", again)
	}
	for _, who := range []parley.Identity{bob, boss, other} {
		_, _, err := w.file(who, a.ID, false)
		w.expectCode("before it is sent", err, parley.CodeNotFound)
	}
	e := w.send(ann, "msg_00001", a.ID, picture.ID)
	if got := len(parley.AttachmentsOf(e.Body)); got != 2 {
		t.Errorf("%d attachments in %s", got, e.Body)
	}
	for _, who := range []parley.Identity{ann, boss} {
		data, f, err := w.file(who, a.ID, false)
		if err != nil || !bytes.Equal(data, text) || f.Inline || f.Name != "fox.exe.txt" {
			t.Errorf("%d bytes, %+v, %v", len(data), f, err)
		}
		data, f, err = w.file(who, picture.ID, true)
		if err != nil || len(data) == 0 || !f.Inline || f.Type != "image/jpeg" {
			t.Errorf("thumbnail of %d bytes, %+v, %v", len(data), f, err)
		}
		_, _, err = w.file(who, a.ID, true)
		w.expectCode("a thumbnail of a text", err, parley.CodeNotFound)
	}
	for _, who := range []parley.Identity{bob, other} {
		_, _, err := w.file(who, a.ID, false)
		w.expectCode("a stranger", err, parley.CodeNotFound)
	}
	if got := w.files(); len(got) != 3 {
		t.Errorf("files: %v", got)
	}
	w.remove(ann, "msg_00002", "2")
	_, _, err := w.file(ann, a.ID, false)
	w.expectCode("deleted", err, parley.CodeNotFound)
	if err := w.keeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.files(); len(got) != 0 {
		t.Errorf("files of a deleted message: %v", got)
	}
	if got := w.state(a.ID); got != "" {
		t.Errorf("it is still %s", got)
	}
}

func TestBegin(t *testing.T) {
	w := newWorld(t, func(o *attachment.Options) { o.MaxSize, o.Uploads = 1000, 6 })
	begin := func(who parley.Identity, conversation string, size int64, sum string) error {
		_, err := w.keeper.Begin(t.Context(), who, conversation, "a.txt", size, sum)
		return err
	}
	w.expectCode("nothing", begin(ann, "cnv_1", 0, ""), parley.CodeInvalid)
	w.expectCode("less than nothing", begin(ann, "cnv_1", -1, ""), parley.CodeInvalid)
	w.expectCode("too much", begin(ann, "cnv_1", 1001, ""), parley.CodeTooLarge)
	for _, sum := range []string{"x", strings.Repeat("A", 64), strings.Repeat("0", 63)} {
		w.expectCode("sum "+sum, begin(ann, "cnv_1", 1, sum), parley.CodeInvalid)
	}
	w.expectCode("no conversation", begin(boss, "cnv_none", 1, ""), parley.CodeNotFound)
	for range 4 {
		if err := begin(ann, "cnv_1", 1000, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.expectCode("much under way", begin(ann, "cnv_1", 1, ""), parley.CodeRateLimited)
	if err := begin(bob, "cnv_2", 1000, ""); err != nil {
		t.Errorf("another user: %v", err)
	}
	_ = begin(ann, "cnv_1", 1, "")
	err := begin(ann, "cnv_1", 1, "")
	w.expectCode("too often", err, parley.CodeRateLimited)
	if wait := parley.ErrorOf(err).RetryAfter; wait <= 0 || wait > 10*time.Minute {
		t.Errorf("wait for %s", wait)
	}
}

func TestPieces(t *testing.T) {
	w := newWorld(t, nil)
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // 320,000 bytes
	a := must(w.keeper.Begin(t.Context(), ann, "cnv_1", "a.txt", int64(len(data)), ""))(t)
	add := func(who parley.Identity, offset int64, r io.Reader) (int64, error) {
		return w.keeper.Add(t.Context(), who, a.ID, offset, r)
	}
	broken := iotest.ErrReader(errors.New("the connection broke"))
	end, err := add(ann, 0, io.MultiReader(bytes.NewReader(data[:100_000]), broken))
	if err != nil || end != 100_000 {
		t.Fatalf("a long piece that broke off ends at %d, %v", end, err)
	}
	_, err = add(ann, 100_000, io.MultiReader(bytes.NewReader(data[:1000]), broken))
	w.expectCode("a short one", err, parley.CodeInvalid)
	_, err = add(ann, 0, bytes.NewReader(data))
	w.expectCode("from the beginning", err, parley.CodeConflict)
	_, err = add(ann, 100_001, bytes.NewReader(data))
	w.expectCode("a hole", err, parley.CodeConflict)
	_, err = add(ann, 100_000, bytes.NewReader(nil))
	w.expectCode("nothing", err, parley.CodeInvalid)
	_, err = add(ann, 100_000, bytes.NewReader(data[100_000-1:]))
	w.expectCode("a byte too many", err, parley.CodeTooLarge)
	_, err = add(bob, 100_000, bytes.NewReader(data[100_000:]))
	w.expectCode("somebody else", err, parley.CodeNotFound)
	_, err = w.keeper.Complete(t.Context(), ann, a.ID)
	w.expectCode("not all of it", err, parley.CodeInvalid)
	if at := must(w.keeper.Lookup(t.Context(), ann, a.ID))(t).Offset(); at != 100_000 {
		t.Errorf("the upload is at %d", at)
	}

	var wg sync.WaitGroup
	var taken atomic.Int64
	for range 8 { // one of those that come at once is taken
		wg.Go(func() {
			if _, err := add(ann, 100_000, bytes.NewReader(data[100_000:])); err == nil {
				taken.Add(1)
			} else if parley.ErrorOf(err).Code != parley.CodeConflict {
				t.Errorf("one of many: %v", err)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d of the same piece were taken", taken.Load())
	}
	for range 4 { // also of those who complete it
		wg.Go(func() {
			if _, err := w.keeper.Complete(t.Context(), ann, a.ID); err != nil {
				t.Errorf("complete: %v", err)
			}
		})
	}
	wg.Wait()
	if got, _, err := w.file(ann, a.ID, false); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got := w.files(); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
	_, err = add(ann, int64(len(data)), strings.NewReader("x"))
	w.expectCode("behind its end", err, parley.CodeConflict)
}

func TestDiscard(t *testing.T) {
	w := newWorld(t, nil)
	half := must(w.keeper.Begin(t.Context(), ann, "cnv_1", "a.txt", 10, ""))(t)
	must(w.keeper.Add(t.Context(), ann, half.ID, 0, strings.NewReader("hello")))(t)
	whole := must(w.upload(ann, "b.txt", []byte("hello")))(t)
	sent := must(w.upload(ann, "c.txt", []byte("hello")))(t)
	w.send(ann, "msg_00001", sent.ID)
	for _, id := range []string{half.ID, whole.ID} {
		w.expectCode("somebody else", w.keeper.Discard(t.Context(), bob, id), parley.CodeNotFound)
		if err := w.keeper.Discard(t.Context(), ann, id); err != nil {
			t.Error(err)
		}
		w.expectCode("again", w.keeper.Discard(t.Context(), ann, id), parley.CodeNotFound)
	}
	w.expectCode("sent", w.keeper.Discard(t.Context(), ann, sent.ID), parley.CodeConflict)
	if got := w.files(); len(got) != 1 {
		t.Errorf("files: %v", got)
	}
}

// What is refused is not there afterwards.
func TestRefused(t *testing.T) {
	w := newWorld(t, nil)
	for name, tc := range map[string]struct {
		data string
		code parley.Code
	}{
		"a.html": {"<html><script>alert(1)</script>", parley.CodeInvalid},
		"a.svg":  {`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, parley.CodeInvalid},
		"a.png":  {"\x89PNG\r\n\x1a\nbut not really", parley.CodeInvalid},
		"a.exe":  {"MZ\x90\x00" + strings.Repeat("\x00", 100), parley.CodeInvalid},
	} {
		id := w.begin(ann, name, []byte(tc.data))
		_, err := w.keeper.Complete(t.Context(), ann, id)
		w.expectCode(name, err, tc.code)
		_, err = w.keeper.Complete(t.Context(), ann, id)
		w.expectCode(name+" again", err, parley.CodeNotFound)
	}
	a := must(w.keeper.Begin(t.Context(), ann, "cnv_1", "a.txt", 5, strings.Repeat("0", 64)))(t)
	must(w.keeper.Add(t.Context(), ann, a.ID, 0, strings.NewReader("hello")))(t)
	_, err := w.keeper.Complete(t.Context(), ann, a.ID)
	w.expectCode("another sum", err, parley.CodeInvalid)
	if got := w.files(); len(got) > 0 {
		t.Errorf("files: %v", got)
	}
}

// scanner does what a test wants.
type scanner func(data []byte) error

func (s scanner) Scan(_ context.Context, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s(data)
}

func TestScan(t *testing.T) {
	var answer error
	var seen []byte
	w := newWorld(t, func(o *attachment.Options) {
		o.Scanner = scanner(func(data []byte) error { seen = data; return answer })
	})
	original := append(jpegOf(t, drawing(10, 10)), "behind its end"...)
	answer = parley.Errorf(parley.CodeUnavailable, "the virus scanner cannot be asked now")
	id := w.begin(ann, "a.jpg", original)
	_, err := w.keeper.Complete(t.Context(), ann, id)
	w.expectCode("the scanner is away", err, parley.CodeUnavailable)
	if !bytes.Equal(seen, original) {
		t.Error("the scanner did not see the file as it came")
	}
	_, _, err = w.file(ann, id, false)
	w.expectCode("unscanned", err, parley.CodeNotFound)
	d := must(parley.DecodeDraft([]byte(`{"id":"msg_00001","type":"text","body":{"text":"x","attachments":[{"id":"` + id + `"}]}}`)))(t)
	answers := must(w.bridge.Record(t.Context(), ann, "cnv_1", []parley.Draft{d}))(t)
	w.expectCode("sent unscanned", answers[0].Err, parley.CodeInvalid)
	answer = nil
	must(w.keeper.Complete(t.Context(), ann, id))(t)
	answer = parley.Errorf(parley.CodeForbidden, "infected")
	_, err = w.upload(ann, "b.jpg", original)
	w.expectCode("infected", err, parley.CodeForbidden)
	if got := w.files(); len(got) != 2 { // the first one and its thumbnail
		t.Errorf("files: %v", got)
	}
}

func TestSweep(t *testing.T) {
	w := newWorld(t, nil)
	text := []byte("hello there")
	sent := must(w.upload(ann, "sent.txt", text))(t)
	w.send(ann, "msg_00001", sent.ID)
	half := must(w.keeper.Begin(t.Context(), ann, "cnv_1", "half.txt", 100, ""))(t)
	must(w.keeper.Add(t.Context(), ann, half.ID, 0, bytes.NewReader(text)))(t)
	unsent := must(w.upload(ann, "unsent.txt", text))(t)
	// A claim whose message was never recorded, and one of which nobody noted that it was.
	claimed := must(w.upload(ann, "claimed.txt", text))(t)
	claimed.State, claimed.Message, claimed.Version = parley.AttachmentClaimed, "msg_never", claimed.Version+1
	lost := must(w.upload(ann, "lost.txt", text))(t)
	w.send(ann, "msg_00002", lost.ID)
	lost = must(w.store.Attachment(t.Context(), "ste_a", lost.ID))(t)
	lost.State, lost.Seq, lost.Version = parley.AttachmentClaimed, 0, lost.Version+1
	// A deletion that was noted and did not come.
	kept := must(w.upload(ann, "kept.txt", text))(t)
	w.send(ann, "msg_00003", kept.ID)
	kept = must(w.store.Attachment(t.Context(), "ste_a", kept.ID))(t)
	kept.State, kept.Version, kept.ChangedAt = parley.AttachmentGoing, kept.Version+1, time.Now().UnixMilli()
	for _, a := range []parley.Attachment{claimed, lost, kept} {
		if err := w.store.SaveAttachment(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ste_a.att_unknown.file", "ste_a." + sent.ID + ".part.another"} {
		must(w.blobs.Put(t.Context(), name, bytes.NewReader(text)))(t)
	}
	expect := func(what string, want map[string]parley.AttachmentState) {
		t.Helper()
		for id, state := range want {
			if got := w.state(id); got != state {
				t.Errorf("%s: %s is %q, want %q", what, id, got, state)
			}
		}
	}
	if err := w.keeper.Sweep(t.Context()); err == nil {
		t.Error("nothing is doubtful") // kept may be on its way
	}
	expect("at once", map[string]parley.AttachmentState{
		sent.ID: parley.AttachmentSent, half.ID: parley.AttachmentTaking, unsent.ID: parley.AttachmentReady,
		claimed.ID: parley.AttachmentClaimed, lost.ID: parley.AttachmentClaimed, kept.ID: parley.AttachmentGoing,
	})
	if got := w.files(); len(got) != 8 {
		t.Errorf("files: %v", got)
	}
	w.clock.Store(int64(25 * time.Hour))
	if err := w.keeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("a day later", map[string]parley.AttachmentState{
		sent.ID: parley.AttachmentSent, half.ID: "", unsent.ID: "", claimed.ID: "", lost.ID: parley.AttachmentSent, kept.ID: parley.AttachmentSent,
	})
	if got := w.files(); len(got) != 3 {
		t.Errorf("files: %v", got)
	}
	for _, id := range []string{sent.ID, lost.ID, kept.ID} {
		if got, _, err := w.file(boss, id, false); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// A keeper that runs removes what is deleted by itself.
func TestRun(t *testing.T) {
	w := newWorld(t, nil)
	a := must(w.upload(ann, "a.png", pngOf(t, drawing(10, 10))))(t)
	w.send(ann, "msg_00001", a.ID)
	must(w.blobs.Put(t.Context(), "ste_a."+a.ID+".part.left", strings.NewReader("what a crash has left")))(t)
	w.keeper.Start()
	defer w.keeper.Close()
	w.remove(boss, "msg_00002", "2")
	for deadline := time.Now().Add(20 * time.Second); len(w.files()) > 0 || w.state(a.ID) != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is %q, files %v", w.state(a.ID), w.files())
		}
	}
}
