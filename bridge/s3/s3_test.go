package s3_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/s3"
)

const keyID, secret = "AKIDEXAMPLE", "very+secret/key"

// double is a server that speaks as much of S3 as is asked, and believes only what is
// signed.
type double struct {
	t *testing.T

	mu      sync.Mutex
	objects map[string][]byte
	at      map[string]time.Time
	busy    int // so many requests are answered with "later"
	asked   []string
	page    int
}

func newDouble(t *testing.T) (*double, string) {
	d := &double{t: t, objects: map[string][]byte{}, at: map[string]time.Time{}, page: 2}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, "s3://files/parley?region=eu-1&endpoint=" + server.URL
}

// checkSignature goes by the description of the algorithm, from what came on the wire.
func checkSignature(r *http.Request, body []byte) bool {
	var scope, signed, given string
	for _, part := range strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Credential":
			scope = strings.TrimPrefix(value, keyID+"/")
		case "SignedHeaders":
			signed = value
		case "Signature":
			given = value
		}
	}
	content := sha256.Sum256(body)
	if hex.EncodeToString(content[:]) != r.Header.Get("X-Amz-Content-Sha256") {
		return false
	}
	pairs := strings.Split(r.URL.RawQuery, "&")
	sort.Strings(pairs)
	text := r.Method + "\n" + r.URL.EscapedPath() + "\n" + strings.Join(pairs, "&") + "\n"
	for _, name := range strings.Split(signed, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		text += name + ":" + value + "\n"
	}
	text += "\n" + signed + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	hashed := sha256.Sum256([]byte(text))
	sign := func(key []byte, what string) []byte {
		m := hmac.New(sha256.New, key)
		_, _ = io.WriteString(m, what)
		return m.Sum(nil)
	}
	day, region, _ := strings.Cut(scope, "/")
	region, _, _ = strings.Cut(region, "/")
	key := sign(sign(sign(sign([]byte("AWS4"+secret), day), region), "s3"), "aws4_request")
	want := sign(key, "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex.EncodeToString(hashed[:]))
	return region == "eu-1" && strings.Contains(signed, "host;") && hex.EncodeToString(want) == given
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path)
	if d.busy > 0 {
		d.busy--
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code></Error>`)
		return
	}
	if !checkSignature(r, body) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<Error><Code>SignatureDoesNotMatch</Code></Error>`)
		return
	}
	name, isObject := strings.CutPrefix(r.URL.Path, "/files/")
	object, there := d.objects[name]
	switch {
	case !isObject:
		d.list(w, r)
	case r.Method == http.MethodPut:
		d.objects[name], d.at[name] = body, time.Now()
	case r.Method == http.MethodDelete:
		delete(d.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(object)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(object))
	}
}

func (d *double) list(w io.Writer, r *http.Request) {
	type content struct {
		Key          string
		LastModified time.Time
	}
	var all []content
	for name := range d.objects {
		if strings.HasPrefix(name, r.URL.Query().Get("prefix")) && name > r.URL.Query().Get("continuation-token") {
			all = append(all, content{name, d.at[name]})
		}
	}
	slices.SortFunc(all, func(a, b content) int { return strings.Compare(a.Key, b.Key) })
	var answer struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
	}
	if answer.Contents = all; len(all) > d.page {
		answer.Contents, answer.IsTruncated, answer.NextContinuationToken = all[:d.page], true, all[d.page-1].Key
	}
	if err := xml.NewEncoder(w).Encode(answer); err != nil {
		d.t.Error(err)
	}
}

func open(t *testing.T, place string, change func(*s3.Options)) *s3.Bucket {
	t.Helper()
	o := s3.Options{Place: place, KeyID: keyID, Secret: secret, Owner: "epo_1"}
	if change != nil {
		change(&o)
	}
	b, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func content(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestPutAndOpen(t *testing.T) {
	d, place := newDouble(t)
	b := open(t, place, nil)
	for _, size := range []int{0, 1, 100_000, 4 << 20, 4<<20 + 1, 9_000_000} {
		data, name := content(size), "ste_a.att_"+strconv.Itoa(size)+".file"
		if n, err := b.Put(t.Context(), name, bytes.NewReader(data)); err != nil || n != int64(size) {
			t.Fatalf("put %d of %d: %v", n, size, err)
		}
		r, n, err := b.Open(t.Context(), name)
		if err != nil || n != int64(size) {
			t.Fatalf("open: %d, %v", n, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d of %d bytes, %v", len(got), size, err)
		}
		if at, err := r.Seek(int64(-size/2), io.SeekEnd); err != nil || at != int64(size-size/2) {
			t.Errorf("at %d, %v", at, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[size-size/2:]) {
			t.Errorf("the second half of %d: %d bytes, %v", size, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, ok := d.objects["parley/ste_a.att_1.file"]; !ok {
		t.Error("the prefix is not used")
	}
	if _, _, err := b.Open(t.Context(), "ste_a.att_none.file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is not there: %v", err)
	}
}

// What is replaced while somebody reads is not read as one.
func TestReplaced(t *testing.T) {
	_, place := newDouble(t)
	b := open(t, place, nil)
	put := func(data []byte) {
		t.Helper()
		if _, err := b.Put(t.Context(), "a.b.c", bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	put(content(1000))
	r, _, err := b.Open(t.Context(), "a.b.c")
	if err != nil {
		t.Fatal(err)
	}
	put(content(1001))
	if got, err := io.ReadAll(r); err == nil {
		t.Errorf("%d bytes of another blob", len(got))
	}
}

func TestDeleteAndList(t *testing.T) {
	_, place := newDouble(t)
	b := open(t, place, nil)
	for _, name := range []string{"s.a.file", "s.a.part.1", "s.a.part.2", "s.ab.file", "s.c.file"} {
		if _, err := b.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := errors.Join(b.DeleteAll(t.Context(), "s.a"), b.Delete(t.Context(), "s.c.file")); err != nil {
			t.Fatal(err)
		}
	}
	names := func(until time.Time) (list []string) {
		t.Helper()
		if err := b.List(t.Context(), until, func(name string) error { list = append(list, name); return nil }); err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := names(time.Now().Add(time.Hour)); !slices.Equal(got, []string{"s.ab.file"}) {
		t.Errorf("left: %v", got)
	}
	if got := names(time.Now().Add(-time.Hour)); got != nil {
		t.Errorf("an hour ago: %v", got)
	}
}

func TestTrouble(t *testing.T) {
	d, place := newDouble(t)
	b := open(t, place, nil)
	d.busy = 2
	if _, err := b.Put(t.Context(), "a.b.c", strings.NewReader("x")); err != nil {
		t.Errorf("put to a busy server: %v", err)
	}
	d.busy = 100
	if _, err := b.Put(t.Context(), "a.b.d", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "503 SlowDown") {
		t.Errorf("put to a server that stays busy: %v", err)
	}
	d.busy = 0
	stranger := open(t, place, func(o *s3.Options) { o.Secret = "another" })
	if _, err := stranger.Put(t.Context(), "a.b.d", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "403 SignatureDoesNotMatch") || strings.Contains(err.Error(), "another") {
		t.Errorf("put with a wrong key: %v", err)
	}
	other := open(t, place, func(o *s3.Options) { o.Owner, o.Former = "epo_2", "epo_3" })
	if _, err := other.Put(t.Context(), "a.b.d", strings.NewReader("x")); !errors.Is(err, s3.ErrForeign) {
		t.Errorf("put by another store: %v", err)
	}
	if err := other.List(t.Context(), time.Now(), func(string) error { return nil }); !errors.Is(err, s3.ErrForeign) {
		t.Errorf("list by another store: %v", err)
	}
	broken := io.MultiReader(strings.NewReader("x"), brokenReader{})
	if _, err := b.Put(t.Context(), "a.b.e", broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("put what breaks off: %v", err)
	}
	if _, ok := d.objects["parley/a.b.e"]; ok {
		t.Error("a part of it is there")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFormerOwner(t *testing.T) {
	_, place := newDouble(t)
	former := open(t, place, func(o *s3.Options) { o.Owner = "epo_1" })
	if _, err := former.Put(t.Context(), "a.b.c", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	b := open(t, place, func(o *s3.Options) { o.Owner, o.Former = "epo_2", "epo_1" })
	for range 2 {
		if err := b.Own(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, place, func(o *s3.Options) { o.Owner = "epo_1" })
	if _, err := again.Put(t.Context(), "a.b.d", strings.NewReader("x")); !errors.Is(err, s3.ErrForeign) {
		t.Errorf("put by the former owner: %v", err)
	}
}
