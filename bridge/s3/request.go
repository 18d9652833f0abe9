package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// request is one question to the bucket; an empty name asks the bucket itself.
type request struct {
	method, name string
	query        url.Values
	header       map[string]string
	body         *held // may be nil
}

// do asks until there is an answer that is not "later". One that is no success is an
// error, fs.ErrNotExist where there is nothing of that name. The caller closes the body.
func (b *Bucket) do(ctx context.Context, q request) (*http.Response, error) {
	for n := 1; ; n++ {
		answer, later, err := b.try(ctx, q)
		if err == nil || !later || n == attempts || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(pause << n):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (b *Bucket) try(ctx context.Context, q request) (answer *http.Response, later bool, err error) {
	r, err := b.prepare(ctx, q)
	if err != nil {
		return nil, false, err
	}
	answer, err = b.client.Do(r)
	if err != nil {
		return nil, true, fmt.Errorf("ask S3: %w", err)
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer, false, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound && q.name != "" {
		return nil, false, fs.ErrNotExist
	}
	var said struct{ Code string }
	_ = xml.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said) // what a proxy says is not XML
	later = answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests
	return nil, later, fmt.Errorf("S3 answers %s %s with %d %s", q.method, b.place.bucket, answer.StatusCode, said.Code)
}

func (b *Bucket) prepare(ctx context.Context, q request) (*http.Request, error) {
	u := *b.place.endpoint
	u.Path = "/" + b.place.bucket
	if q.name != "" {
		u.Path += "/" + b.place.prefix + q.name
	}
	u.RawQuery = query(q.query)
	var body io.Reader
	sum := sumOf(nil)
	if q.body != nil {
		if _, err := q.body.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read blob again: %w", err)
		}
		body, sum = io.NopCloser(q.body), q.body.sum
	}
	r, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if q.body != nil {
		if r.ContentLength = q.body.size; q.body.size == 0 {
			r.Body = http.NoBody
		}
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	b.keys.sign(r, sum, b.now())
	return r, nil
}
