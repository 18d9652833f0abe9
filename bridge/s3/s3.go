// Package s3 keeps the bytes of attachments in a bucket of a server that speaks the
// protocol of Amazon S3.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// Options configure a Bucket. Place, KeyID and Secret are required.
type Options struct {
	Place         string // s3://BUCKET/PREFIX?endpoint=URL&region=NAME
	KeyID, Secret string

	// Owner names whose blobs these are: what another owner has put there is neither
	// listed nor added to. Empty asks nobody.
	Owner string

	// Former is another owner whose place may be taken over, if nobody else uses it any
	// more.
	Former string

	Now func() time.Time // time.Now
}

// Bucket keeps blobs in S3, in path style. All methods are safe for concurrent use, also
// by several processes. An answer that says "later" is asked for again, twice.
type Bucket struct {
	place  place
	keys   keys
	owner  string
	former string
	now    func() time.Time
	client *http.Client

	mu   sync.Mutex
	ours bool // the bucket says so
}

// ErrForeign says that the place has the blobs of another owner.
var ErrForeign = errors.New("the bucket has the files of another store there, of which this one knows nothing: name another place")

const (
	attempts   = 3
	pause      = 250 * time.Millisecond
	answerTime = 30 * time.Second // until an answer begins, and between its parts
	ownerName  = "owner"
	inMemory   = parley.MaxAttachmentChunk + 64<<10 // a piece, also a sealed one; larger blobs go by a temporary file
	maxAnswer  = 8 << 20                            // bytes of a list
)

// New returns a Bucket. It does not connect.
func New(o Options) (*Bucket, error) {
	p, err := parse(o.Place)
	if err != nil {
		return nil, err
	}
	if o.KeyID == "" || o.Secret == "" {
		return nil, errors.New("there are no keys for S3")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTime
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Bucket{place: p, keys: keys{o.KeyID, o.Secret, p.region}, owner: o.Owner, former: o.Former, now: o.Now, client: client}, nil
}

// Put stores what r has until its end, and returns how much that was. When it returns
// without an error it is durable. A blob that is there is replaced.
func (b *Bucket) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := b.own(ctx); err != nil {
		return 0, fmt.Errorf("put blob: %w", err)
	}
	n, err := b.put(ctx, name, r)
	if err != nil {
		return 0, fmt.Errorf("put blob: %w", err)
	}
	return n, nil
}

func (b *Bucket) put(ctx context.Context, name string, r io.Reader) (int64, error) {
	body, err := hold(r)
	if err != nil {
		return 0, err
	}
	defer body.close()
	answer, err := b.do(ctx, request{method: http.MethodPut, name: name, body: body})
	if err != nil {
		return 0, err
	}
	return body.size, answer.Body.Close()
}

// held is a body whose length and sum are known, and that can be sent again.
type held struct {
	io.ReadSeeker
	size int64
	sum  string
	file *os.File // nil if it is in memory
}

func (h *held) close() {
	if h.file != nil {
		_ = h.file.Close()
		_ = os.Remove(h.file.Name())
	}
}

func hold(r io.Reader) (*held, error) {
	sum, begin := sha256.New(), &bytes.Buffer{}
	n, err := io.CopyN(io.MultiWriter(sum, begin), r, inMemory+1)
	if errors.Is(err, io.EOF) {
		return &held{ReadSeeker: bytes.NewReader(begin.Bytes()), size: n, sum: hex.EncodeToString(sum.Sum(nil))}, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "parley-*")
	if err != nil {
		return nil, fmt.Errorf("hold blob: %w", err)
	}
	h := &held{ReadSeeker: f, file: f}
	_, err = f.Write(begin.Bytes())
	if err == nil {
		n, err = io.Copy(io.MultiWriter(sum, f), r)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	h.size, h.sum = n+inMemory+1, hex.EncodeToString(sum.Sum(nil))
	return h, nil
}

// Open returns a blob for reading and its size. It is fs.ErrNotExist if there is none.
// The caller closes it; ctx may end before.
func (b *Bucket) Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error) {
	answer, err := b.do(ctx, request{method: http.MethodHead, name: name})
	if err != nil {
		return nil, 0, fmt.Errorf("open blob: %w", err)
	}
	_ = answer.Body.Close()
	return &reader{bucket: b, name: name, size: answer.ContentLength, version: answer.Header.Get("ETag")}, answer.ContentLength, nil
}

// Delete removes a blob. It is idempotent.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	answer, err := b.do(ctx, request{method: http.MethodDelete, name: name})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete blob: %w", err)
	}
	return answer.Body.Close()
}

// DeleteAll removes all blobs whose names begin with group and a dot. It is idempotent.
func (b *Bucket) DeleteAll(ctx context.Context, group string) error {
	return b.list(ctx, group+".", func(o object) error { return b.Delete(ctx, o.name) })
}

// List calls do with the name of every blob that was put at time until or earlier, in
// any order, until do fails.
func (b *Bucket) List(ctx context.Context, until time.Time, do func(name string) error) error {
	if err := b.own(ctx); err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	return b.list(ctx, "", func(o object) error {
		if o.at.After(until) || o.name == ownerName {
			return nil
		}
		return do(o.name)
	})
}

type object struct {
	name string
	at   time.Time
}

// list calls do for all blobs whose names begin with prefix, page by page.
func (b *Bucket) list(ctx context.Context, prefix string, do func(object) error) error {
	q := url.Values{"list-type": {"2"}, "prefix": {b.place.prefix + prefix}}
	for {
		answer, err := b.do(ctx, request{method: http.MethodGet, query: q})
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		var page struct {
			Contents []struct {
				Key          string
				LastModified time.Time
			}
			IsTruncated           bool
			NextContinuationToken string
		}
		err = xml.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&page)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		for _, c := range page.Contents {
			if err := do(object{strings.TrimPrefix(c.Key, b.place.prefix), c.LastModified}); err != nil {
				return err
			}
		}
		if !page.IsTruncated || page.NextContinuationToken == "" {
			return nil
		}
		q.Set("continuation-token", page.NextContinuationToken)
	}
}

// Own makes the place its owner's before anything is put: also one that was its former
// owner's. It is idempotent.
func (b *Bucket) Own(ctx context.Context) error {
	if err := b.own(ctx); err != nil {
		return fmt.Errorf("take the bucket: %w", err)
	}
	return nil
}

// own makes sure that the place is ours before something is added or swept.
func (b *Bucket) own(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ours || b.owner == "" {
		return nil
	}
	there, err := b.ownerThere(ctx)
	if errors.Is(err, fs.ErrNotExist) || err == nil && b.former != "" && there == b.former {
		if _, err = b.put(ctx, ownerName, strings.NewReader(b.owner)); err == nil {
			there, err = b.ownerThere(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("look for the owner: %w", err)
	}
	if there != b.owner {
		return ErrForeign
	}
	b.ours = true
	return nil
}

func (b *Bucket) ownerThere(ctx context.Context) (string, error) {
	answer, err := b.do(ctx, request{method: http.MethodGet, name: ownerName})
	if err != nil {
		return "", err
	}
	name, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return string(name), errors.Join(err, answer.Body.Close())
}
