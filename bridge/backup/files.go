package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Blobs are where the bytes of files are kept, as they are kept; see bridge/blob.
type Blobs interface {
	// Open fails with fs.ErrNotExist if there is none.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error)
}

// claimMargin is how much later a row may say that its message is recorded than that was.
const claimMargin = 60 * 1000

// fitsAttachment reports whether the row of an attachment belongs to the backup, and makes
// it one that does. An upload that is under way does not: its pieces are gone when they
// would be read. What has become a message's lately may have one that comes after the
// backup's end: that is said of it again, and found out by whoever sweeps.
func (b *writer) fitsAttachment(row *bridge.Row) bool {
	var a parley.Attachment
	if json.Unmarshal(row.Value, &a) != nil || !a.Complete() {
		return false
	}
	b.attachments[hashOf(row.Key)] = struct{}{}
	if a.State != parley.AttachmentSent || a.ChangedAt <= b.end.Position-claimMargin {
		return true
	}
	a.State = parley.AttachmentClaimed
	value, err := parley.EncodeBody(a)
	row.Value = value
	return err == nil
}

// files writes the bytes of all attachments whose rows are in the backup. What was
// deleted since has none.
func (b *writer) files(ctx context.Context) error {
	if b.blobs == nil {
		b.end.Left = int64(len(b.attachments))
		return nil
	}
	for after := ""; ; {
		page, err := b.from.Rows(ctx, bridge.RowAttachment, after, rowsPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := b.file(ctx, &page[i], after); err != nil {
				return err
			}
			after = page[i].Key
		}
	}
}

// file writes the blobs of one attachment; before is the key of the row before its own.
func (b *writer) file(ctx context.Context, row *bridge.Row, before string) error {
	var a parley.Attachment
	if _, ok := b.attachments[hashOf(row.Key)]; !ok || json.Unmarshal(row.Value, &a) != nil {
		return nil
	}
	names := []string{a.FileBlob()}
	if a.Thumbnail {
		names = append(names, a.ThumbnailBlob())
	}
	for _, name := range names {
		there, err := b.either(ctx, a.Site, name)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		still, err := b.stays(ctx, row, before)
		if err != nil {
			return err
		}
		if still {
			if err := b.lose(blobLine{Name: name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// stays reports whether an attachment is still there.
func (b *writer) stays(ctx context.Context, row *bridge.Row, before string) (bool, error) {
	now, err := b.from.Rows(ctx, row.Kind, before, 1)
	if err != nil || len(now) == 0 || now[0].Key != row.Key {
		return false, err
	}
	var a parley.Attachment
	return json.Unmarshal(now[0].Value, &a) == nil && a.State != parley.AttachmentGoing, nil
}

// either writes a blob, sealed or not: first it looks for what the site had last.
func (b *writer) either(ctx context.Context, site, name string) (there bool, err error) {
	for range 2 {
		full := name
		if b.sealed[site] {
			full += parley.SealedBlob
		}
		if there, err = b.blob(ctx, full); there || err != nil {
			return there, err
		}
		b.sealed[site] = !b.sealed[site]
	}
	return false, nil
}

// blob writes a blob; there is false if there is none.
func (b *writer) blob(ctx context.Context, name string) (there bool, err error) {
	r, size, err := b.blobs.Open(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return true, b.loseOr(blobLine{Name: name}, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if b.piece == nil {
		b.piece = make([]byte, pieceBytes)
	}
	sum := sha256.New()
	for line := (blobLine{Name: name, Size: size}); !line.Last; {
		piece := b.piece[:min(pieceBytes, size-line.At)]
		if _, err := io.ReadFull(r, piece); err != nil {
			return true, b.loseOr(line, err)
		}
		if size == 0 { // proven at the first read
			if _, err := r.Read(b.piece[:1]); !errors.Is(err, io.EOF) {
				return true, b.loseOr(line, err)
			}
		}
		_, _ = sum.Write(piece) // never fails
		if line.Last = line.At+int64(len(piece)) == size; line.Last {
			line.SHA256 = hex.EncodeToString(sum.Sum(nil))
		}
		if err := b.pieceFrame(line, piece); err != nil {
			return true, err
		}
		line.At += int64(len(piece))
		if err := b.pause(ctx); err != nil {
			return true, err
		}
	}
	b.end.Blobs++
	b.end.BlobBytes += size
	return true, nil
}

// loseOr notes that a blob is damaged, if that is what err says.
func (b *writer) loseOr(line blobLine, err error) error {
	if b.damaged == nil || !b.damaged(err) {
		return err
	}
	return b.lose(line)
}

// lostNamed is how many blobs that were lost are named.
const lostNamed = 20

func (b *writer) lose(line blobLine) error {
	line.Lost = true
	if b.end.Lost++; b.end.Lost <= lostNamed {
		if b.end.LostNames != "" {
			b.end.LostNames += " "
		}
		b.end.LostNames += line.Name
	}
	return b.pieceFrame(line, nil)
}

func (b *writer) pieceFrame(line blobLine, piece []byte) error {
	text, err := parley.EncodeBody(line)
	if err != nil {
		return err
	}
	began := time.Now()
	err = b.frames.frame(frameBlob, append(append(text, '\n'), piece...))
	b.since = b.since.Add(time.Since(began)) // whoever takes it may be slow: that is no work
	return err
}

// errLost is what reading a blob ends with that its backup did not get to its end.
var errLost = errors.New("this file was lost before the backup")

// Files calls put for every blob of a backup that Check has read to its end, but for those
// of attachments that are gone. put reads r until its end, or fails: what it has put then
// must be none. It returns how many were put, and how many were left out because they are
// gone.
func Files(ctx context.Context, r io.Reader, gone *Gone, put func(name string, size int64, r io.Reader) error) (files, left int64, err error) {
	b, err := NewReader(r)
	if err != nil {
		return 0, 0, err
	}
	out := map[string]bool{} // keys of attachments that are gone
	for {
		it, err := b.next()
		switch {
		case errors.Is(err, io.EOF):
			return files, left, nil
		case err != nil:
			return files, left, err
		case it.kind == itemRow:
			err = noteLeft(it, gone, out)
		case it.kind == itemBlob:
			p := newPieces(b, it)
			switch err = p.hand(out, put); {
			case errors.Is(err, errLost):
				err = nil
			case err == nil && out[attachmentOf(p.line.Name)]:
				left++
			case err == nil:
				files++
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return files, left, err
		}
	}
}

// noteLeft notes the attachments that are gone.
func noteLeft(it item, gone *Gone, out map[string]bool) error {
	var line rowLine
	if err := json.Unmarshal(it.line, &line); err != nil {
		return err
	}
	left, err := gone.leavesOut(&bridge.Row{Kind: line.Kind, Key: line.Key, Value: it.data})
	if left {
		out[line.Key] = true
	}
	return err
}

// pieces reads the pieces of one blob.
type pieces struct {
	b     *Reader
	line  blobLine // of the present piece
	data  []byte
	ended error
}

// newPieces begins with the first piece of a blob.
func newPieces(b *Reader, first item) *pieces {
	p := &pieces{b: b}
	p.take(first)
	return p
}

func (p *pieces) take(it item) {
	p.data = it.data
	switch err := json.Unmarshal(it.line, &p.line); {
	case err != nil:
		p.ended = err
	case p.line.Lost:
		p.ended, p.data = errLost, nil
	}
}

// hand has a blob put, unless it is to be left out, and reads it to its end.
func (p *pieces) hand(out map[string]bool, put func(name string, size int64, r io.Reader) error) error {
	name, size := p.line.Name, p.line.Size
	if !out[attachmentOf(name)] {
		if err := put(name, size, p); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, p)
	return err
}

func (p *pieces) Read(buf []byte) (int, error) {
	for len(p.data) == 0 {
		switch {
		case p.ended != nil:
			return 0, p.ended
		case p.line.Last:
			p.ended = io.EOF
			continue
		}
		it, err := p.b.next()
		if err != nil {
			p.ended = err
			continue
		}
		p.line = blobLine{}
		p.take(it)
	}
	n := copy(buf, p.data)
	p.data = p.data[n:]
	return n, nil
}
