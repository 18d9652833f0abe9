package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

var smallPNG = func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 4))); err != nil {
		panic(err)
	}
	return b.Bytes()
}()

// attachment makes one of the visitor's in a conversation: taking, whole (all there,
// not examined), ready or sent. It fails by an id that is none.
func (f *fixture) attachment(conversation, state string) string {
	who, ctx := f.visitor.Identity, context.Background()
	a, err := f.keeper.Begin(ctx, who, conversation, "a.png", int64(len(smallPNG)), "")
	if err == nil && state != "taking" {
		_, err = f.keeper.Add(ctx, who, a.ID, 0, bytes.NewReader(smallPNG))
	}
	if err == nil && (state == "ready" || state == "sent") {
		_, err = f.keeper.Complete(ctx, who, a.ID)
	}
	if err == nil && state == "sent" {
		var d parley.Draft
		if d, err = parley.DecodeDraft(withAttachment(a.ID)); err == nil {
			_, err = f.bridge.Record(ctx, who, conversation, []parley.Draft{d})
		}
	}
	if err != nil {
		return "failed." + err.Error()
	}
	return a.ID
}

func withAttachment(id string) json.RawMessage {
	return fmt.Appendf(nil, `{"id":"%s","type":"text","body":{"text":"","attachments":[{"id":"%s"}]}}`, parley.NewID(parley.PrefixMessage), id)
}

func (f *fixture) begin(t *testing.T, who parley.Credentials, conversation, name string, size int) response {
	t.Helper()
	return f.post(t, who, "/v1/conversations/"+conversation+"/attachments", map[string]any{"name": name, "size": size})
}

func (f *fixture) piece(t *testing.T, who parley.Credentials, id string, offset int, data []byte) response {
	t.Helper()
	header := http.Header{"Upload-Offset": {fmt.Sprint(offset)}, "Content-Type": {"application/octet-stream"}}
	return f.do(t, request{method: "PATCH", path: "/v1/attachments/" + id, token: who.Token, header: header, body: string(data)})
}

// upload begins, sends and completes.
func (f *fixture) upload(t *testing.T, conversation, name string, data []byte) (id string, last response) {
	t.Helper()
	a := decode[api.Attachment](t, f.expect(t, f.begin(t, f.visitor, conversation, name, len(data)), http.StatusCreated))
	for at := 0; at < len(data); {
		n := min(len(data)-at, int(a.Chunk))
		f.expect(t, f.piece(t, f.visitor, a.Id, at, data[at:at+n]), http.StatusNoContent)
		at += n
	}
	return a.Id, f.post(t, f.visitor, "/v1/attachments/"+a.Id+"/complete", nil)
}

func TestAttachment(t *testing.T) {
	f := setup(t, nil)
	conversation := parley.NewID(parley.PrefixConversation)
	a := decode[api.Attachment](t, f.expect(t, f.begin(t, f.visitor, conversation, "../x/photo.jpg", len(smallPNG)), http.StatusCreated))
	if a.Name != "photo.jpg" || a.Offset != 0 || a.Complete || a.Chunk != 4<<20 || a.FileUrl != nil {
		t.Errorf("attachment %+v", a)
	}
	path := "/v1/attachments/" + a.Id
	expectProblem(t, f.piece(t, f.visitor, a.Id, 5, smallPNG), http.StatusConflict, parley.CodeConflict)
	if at := f.expect(t, f.piece(t, f.visitor, a.Id, 0, smallPNG[:10]), http.StatusNoContent).header.Get("Upload-Offset"); at != "10" {
		t.Errorf("the upload is at %s", at)
	}
	head := f.expect(t, f.do(t, request{method: "HEAD", path: path, token: f.visitor.Token}), http.StatusNoContent).header
	if head.Get("Upload-Offset") != "10" || head.Get("Upload-Length") != fmt.Sprint(len(smallPNG)) {
		t.Errorf("headers %v", head)
	}
	expectProblem(t, f.post(t, f.visitor, path+"/complete", nil), http.StatusBadRequest, parley.CodeInvalid)
	expectProblem(t, f.get(t, f.visitor, path+"/file"), http.StatusNotFound, parley.CodeNotFound)
	f.expect(t, f.piece(t, f.visitor, a.Id, 10, smallPNG[10:]), http.StatusNoContent)
	a = decode[api.Attachment](t, f.expect(t, f.post(t, f.visitor, path+"/complete", nil), http.StatusOK))
	if a.Name != "photo.jpg.png" || !a.Complete || *a.Type != "image/png" || *a.Width != 8 || *a.Height != 4 || !*a.Thumbnail {
		t.Errorf("attachment %+v", a)
	}
	f.expect(t, f.post(t, f.visitor, "/v1/conversations/"+conversation+"/messages", withAttachment(a.Id)), http.StatusCreated)
	page := f.get(t, f.agent(), "/v1/conversations/"+conversation+"/messages")
	if want := fmt.Sprintf(`"attachments":[{"id":"%s","name":"photo.jpg.png","type":"image/png","size":%d,"width":8,"height":4,"thumbnail":true}]`, a.Id, a.Size); !bytes.Contains(page.body, []byte(want)) {
		t.Errorf("page %s", page.body)
	}
	got := f.expect(t, f.get(t, f.agent(), path+"/file"), http.StatusOK)
	if !bytes.Equal(got.body, smallPNG) {
		t.Errorf("%d bytes", len(got.body))
	}
	expectProblem(t, f.do(t, request{method: "DELETE", path: path, token: f.visitor.Token}), http.StatusConflict, parley.CodeConflict)
	f.expect(t, f.post(t, f.visitor, "/v1/conversations/"+conversation+"/messages",
		parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: parley.EntryDelete, Body: []byte(`{"seq":2}`)}), http.StatusCreated)
	for _, tail := range []string{"", "/file", "/thumbnail", strings.TrimPrefix(*a.FileUrl, path)} {
		expectProblem(t, f.get(t, f.visitor, path+tail), http.StatusNotFound, parley.CodeNotFound)
	}
}

func TestBytesOfAttachments(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	text := []byte("0123456789, plain text")
	id, done := f.upload(t, conversation, "旅行 \"a\".txt", text)
	f.expect(t, done, http.StatusOK)
	path := "/v1/attachments/" + id + "/file"
	whole := f.expect(t, f.get(t, f.visitor, path), http.StatusOK)
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Content-Disposition": "attachment; filename*=utf-8''%E6%97%85%E8%A1%8C%20_a_.txt",
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
		"Cache-Control": "private, no-cache", "Accept-Ranges": "bytes", "Etag": `"` + id + `"`, "Referrer-Policy": "no-referrer",
	} {
		if got := whole.header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	get := func(status int, name, value string) response {
		t.Helper()
		return f.expect(t, f.do(t, request{path: path, token: f.visitor.Token, header: http.Header{name: {value}}}), status)
	}
	part := get(http.StatusPartialContent, "Range", "bytes=3-6")
	if string(part.body) != "3456" || part.header.Get("Content-Range") != fmt.Sprintf("bytes 3-6/%d", len(text)) {
		t.Errorf("part %q, %v", part.body, part.header)
	}
	get(http.StatusNotModified, "If-None-Match", `"`+id+`"`)
	get(http.StatusRequestedRangeNotSatisfiable, "Range", "bytes=1000-")
	picture := f.attachment(conversation, "ready")
	inline := f.expect(t, f.get(t, f.visitor, "/v1/attachments/"+picture+"/thumbnail"), http.StatusOK)
	if d := inline.header.Get("Content-Disposition"); d != "inline; filename=a.png.jpg" && d != "inline; filename=a.png" {
		t.Errorf("disposition %s", d)
	}
}

func TestLinksToAttachments(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	id, other := f.attachment(conversation, "sent"), f.attachment(conversation, "sent")
	a := decode[api.Attachment](t, f.expect(t, f.get(t, f.agent(), "/v1/attachments/"+id), http.StatusOK))
	if left := time.Until(time.UnixMilli(*a.UrlsExpireAt)); left <= 0 || left > 5*time.Minute {
		t.Errorf("the links are good for %s", left)
	}
	open := func(path string) response { return f.do(t, request{path: path}) }
	f.expect(t, open(*a.FileUrl), http.StatusOK)
	f.expect(t, open(*a.ThumbnailUrl), http.StatusOK)
	saved := f.expect(t, open(*a.FileUrl+"&save=true"), http.StatusOK)
	if d := saved.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment;") {
		t.Errorf("disposition %s", d)
	}
	foreign := strings.Replace(*a.FileUrl, id, other, 1)
	for what, path := range map[string]string{
		"another file": foreign, "a changed link": *a.FileUrl + "A", "no link": "/v1/attachments/" + id + "/file",
		"an empty link": "/v1/attachments/" + id + "/file?link=", "something else": strings.Replace(*a.FileUrl, "/file", "", 1),
	} {
		if r := open(path); r.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
	}
	// The right is asked for when the link is used.
	f.expect(t, f.post(t, f.owner(), "/v1/conversations/"+conversation+"/claim", nil), http.StatusOK)
	expectProblem(t, open(*a.FileUrl), http.StatusNotFound, parley.CodeNotFound)
	// So is whether its holder is still signed in.
	mine := decode[api.Attachment](t, f.expect(t, f.get(t, f.visitor, "/v1/attachments/"+id), http.StatusOK))
	f.expect(t, open(*mine.FileUrl), http.StatusOK)
	f.expect(t, f.post(t, f.visitor, "/v1/sign-out", nil), http.StatusNoContent)
	expectProblem(t, open(*mine.FileUrl), http.StatusUnauthorized, parley.CodeUnauthenticated)
	f.stop()
	if _, secret, _ := strings.Cut(*mine.FileUrl, "link="); strings.Contains(f.log.String(), secret) {
		t.Error("the log has the link")
	}
}

func TestLimitsOfAttachments(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	expectProblem(t, f.begin(t, f.visitor, conversation, "a.txt", 25<<20+1), http.StatusRequestEntityTooLarge, parley.CodeTooLarge)
	expectProblem(t, f.begin(t, f.visitor, conversation, "a.txt", 0), http.StatusBadRequest, parley.CodeInvalid)
	a := decode[api.Attachment](t, f.expect(t, f.begin(t, f.visitor, conversation, "a.txt", 10<<20), http.StatusCreated))
	expectProblem(t, f.piece(t, f.visitor, a.Id, 0, make([]byte, 4<<20+1)), http.StatusRequestEntityTooLarge, parley.CodeTooLarge)
	expectProblem(t, f.piece(t, f.visitor, a.Id, -1, []byte("x")), http.StatusConflict, parley.CodeConflict)
	r := f.do(t, request{method: "PATCH", path: "/v1/attachments/" + a.Id, token: f.visitor.Token, body: "x"})
	expectProblem(t, r, http.StatusBadRequest, parley.CodeInvalid) // without an offset
	for _, id := range []string{"a.b", "%2B", "a%2Fb", "%00", strings.Repeat("x", 65)} {
		for _, tail := range []string{"", "/file", "/thumbnail"} {
			expectProblem(t, f.get(t, f.visitor, "/v1/attachments/"+id+tail), http.StatusBadRequest, parley.CodeInvalid)
		}
	}
	off := setup(t, func(o *api.Options) { o.Attachments = nil })
	expectProblem(t, off.begin(t, off.visitor, "cnv_1", "a.txt", 1), http.StatusNotFound, parley.CodeNotFound)
}

// slowKeeper takes its time to examine what came.
type slowKeeper struct {
	api.Attachments
	wait time.Duration
}

func (k slowKeeper) Complete(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error) {
	select {
	case <-ctx.Done():
		return parley.Attachment{}, ctx.Err()
	case <-time.After(k.wait):
		return k.Attachments.Complete(ctx, who, id)
	}
}

// slowReader waits before its second half.
type slowReader struct {
	halves [][]byte
	wait   time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	if len(r.halves) == 0 {
		return 0, io.EOF
	}
	if len(r.halves) == 1 {
		<-time.After(r.wait)
	}
	n := copy(p, r.halves[0])
	r.halves = r.halves[1:]
	return n, nil
}

// A piece and an examination may take longer than other requests.
func TestPatience(t *testing.T) {
	const limit = 100 * time.Millisecond
	var handler http.Handler
	f := setup(t, func(o *api.Options) {
		o.Attachments = slowKeeper{o.Attachments, 4 * limit}
		handler = must(api.New(*o))(t).Public()
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, 2*limit
	server.Start()
	defer server.Close()
	f.url = server.URL
	path := "/v1/attachments/" + f.attachment(parley.NewID(parley.PrefixConversation), "taking")
	req := f.newRequest(t, request{method: "PATCH", path: path, token: f.visitor.Token, header: http.Header{"Upload-Offset": {"0"}}})
	req.Body = io.NopCloser(&slowReader{[][]byte{smallPNG[:10], smallPNG[10:]}, 4 * limit})
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("a slow piece: %d", res.StatusCode)
	}
	f.expect(t, f.post(t, f.visitor, path+"/complete", nil), http.StatusOK)
}

// What was damaged on the disk is not served as what it was.
func TestDamagedAttachment(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	id, _ := f.upload(t, conversation, "a.txt", []byte("0123456789"))
	err := filepath.WalkDir(f.files, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("0123456780abcd"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	req := f.newRequest(t, request{path: "/v1/attachments/" + id + "/file", token: f.visitor.Token})
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		defer res.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err == nil {
			t.Errorf("served %q", b.String())
		}
	}
	f.stop()
	if !strings.Contains(f.log.String(), "damaged") {
		t.Error("the log does not say so")
	}
}
