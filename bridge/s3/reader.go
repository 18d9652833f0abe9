package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// reader reads a blob from wherever it was sought to. It asks for bytes when they are
// read, and only of the blob that was opened: one that was replaced since is an error.
type reader struct {
	bucket  *Bucket
	name    string
	version string // ETag
	size    int64

	at   int64
	open io.ReadCloser // what comes at at, nil if nothing was asked for
	end  context.CancelFunc
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.open == nil {
		if err := r.ask(); err != nil {
			return 0, err
		}
	}
	stall := time.AfterFunc(answerTime, r.end) // a server that says nothing more
	defer stop(stall)
	n, err := r.open.Read(p)
	r.at += int64(n)
	if errors.Is(err, io.EOF) && r.at < r.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read blob: %w", err)
	}
	return n, err
}

func stop(t *time.Timer) { t.Stop() }

func (r *reader) ask() error {
	ctx, cancel := context.WithCancel(context.Background())
	header := map[string]string{"Range": "bytes=" + strconv.FormatInt(r.at, 10) + "-"}
	if r.version != "" {
		header["If-Match"] = r.version
	}
	answer, err := r.bucket.do(ctx, request{method: http.MethodGet, name: r.name, header: header})
	if err != nil {
		cancel()
		return fmt.Errorf("read blob: %w", err)
	}
	if answer.StatusCode != http.StatusPartialContent && r.at > 0 {
		cancel()
		return errors.Join(errors.New("read blob: the server knows no ranges"), answer.Body.Close())
	}
	r.open, r.end = answer.Body, cancel
	return nil
}

// Seek implements io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	if offset == r.at {
		return offset, nil
	}
	r.at = offset
	return offset, r.Close()
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.open == nil {
		return nil
	}
	r.end()
	err := r.open.Close()
	r.open = nil
	return err
}
