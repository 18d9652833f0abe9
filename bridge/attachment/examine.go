package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/picture"
)

// Complete examines an upload that is all there, and returns the attachment, which a
// message can have from then on. It is idempotent. What is refused is removed.
func (k *Keeper) Complete(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	a, err := k.own(ctx, who, id)
	if err != nil || a.Complete() {
		return a, err
	}
	if lacks := a.Size - a.Offset(); lacks > 0 {
		return a, parley.Errorf(parley.CodeInvalid, "%d bytes are missing", lacks)
	}
	if err := k.Conversations.MayAttach(ctx, who, a.Conversation); err != nil {
		return a, err
	}
	leave, err := enter(ctx, k.examining)
	if err != nil {
		return a, err
	}
	defer leave()
	done, err := k.examine(ctx, a)
	var refusal *parley.Error
	switch {
	case errors.As(err, &refusal) && !refusal.Code.Retry():
		k.refused.Add(1)
		k.drop(ctx, a)
		return a, err
	case err != nil:
		if there, _ := k.own(ctx, who, id); there.Complete() { // another request was faster, and has removed the pieces
			return there, nil
		}
		k.unscanned.Add(1)
		return a, err
	}
	done = k.next(done, parley.AttachmentReady)
	done.Parts = nil
	if err := k.save(ctx, done); err != nil {
		if errors.Is(err, parley.ErrStale) { // another request was faster; it made the same of it, or it was removed
			return k.own(ctx, who, id)
		}
		return a, err
	}
	k.taken.Add(1)
	for _, p := range a.Parts { // what stays is swept
		if err := k.Blobs.Delete(ctx, a.PartBlob(p)); err != nil {
			k.Logger.Warn("piece of an attachment stays", "attachment", a.ID, "error", err)
		}
	}
	return done, nil
}

// enter waits for a place.
func enter(ctx context.Context, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "very many files are being examined; try again"), ctx.Err())
	}
}

// examine looks at the whole file and stores what others get. The scanner is asked
// about the file as it came.
func (k *Keeper) examine(ctx context.Context, a parley.Attachment) (parley.Attachment, error) {
	head, sum := &prefix{most: sniffed}, sha256.New()
	if err := k.read(ctx, a, func(r io.Reader) error {
		_, err := io.Copy(io.MultiWriter(head, sum), r)
		return err
	}); err != nil {
		return a, err
	}
	if a.Sum != "" && a.Sum != hex.EncodeToString(sum.Sum(nil)) {
		return a, parley.Errorf(parley.CodeInvalid, "the file that came is not the one that was announced: its sha256 differs; upload it again")
	}
	var taken bool
	if a.Type, taken = kindOf(head.data); !taken {
		return a, parley.Errorf(parley.CodeInvalid, "files of the type %s are not taken here", a.Type)
	}
	a.Name, a.Sum = fitName(a.Name, a.Type), hex.EncodeToString(sum.Sum(nil))
	if k.Scanner != nil {
		if err := k.read(ctx, a, func(r io.Reader) error { return k.Scanner.Scan(ctx, r) }); err != nil {
			return a, err
		}
	}
	if picture.Kind(a.Type) {
		return k.clean(ctx, a)
	}
	return a, k.read(ctx, a, func(r io.Reader) error {
		_, err := k.Blobs.Put(ctx, a.FileBlob(), r)
		return err
	})
}

// prefix keeps the beginning of what is written to it.
type prefix struct {
	data []byte
	most int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.data = append(p.data, b[:min(len(b), p.most-len(p.data))]...)
	return len(b), nil
}

// read hands the upload to do as one.
func (k *Keeper) read(ctx context.Context, a parley.Attachment, do func(io.Reader) error) error {
	r := &parts{ctx: ctx, blobs: k.Blobs, a: a, rest: a.Parts}
	err := errors.Join(do(r), r.close())
	if err != nil {
		return fmt.Errorf("examine the upload: %w", err)
	}
	return nil
}

// parts reads the pieces of an upload, one after the other.
type parts struct {
	ctx   context.Context
	blobs Blobs
	a     parley.Attachment
	rest  []parley.AttachmentPart
	open  io.ReadCloser
}

func (p *parts) Read(b []byte) (int, error) {
	for {
		if err := p.ctx.Err(); err != nil {
			return 0, err
		}
		if p.open == nil {
			if len(p.rest) == 0 {
				return 0, io.EOF
			}
			r, _, err := p.blobs.Open(p.ctx, p.a.PartBlob(p.rest[0]))
			if err != nil {
				return 0, err
			}
			p.open, p.rest = r, p.rest[1:]
		}
		n, err := p.open.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := p.close(); err != nil || n > 0 {
			return n, err
		}
	}
}

func (p *parts) close() error {
	if p.open == nil {
		return nil
	}
	err := p.open.Close()
	p.open = nil
	return err
}

// maxPicture bounds the file of a picture, which is held in memory.
const maxPicture = 32 << 20

// muchPixels is from where on a picture's memory is given back at once: the next one
// must not come on top of it.
const muchPixels = 8_000_000

// clean stores a picture without what else was in its file, and its thumbnail.
func (k *Keeper) clean(ctx context.Context, a parley.Attachment) (parley.Attachment, error) {
	if a.Size > maxPicture {
		return a, parley.Errorf(parley.CodeTooLarge, "a picture has %d bytes at most", maxPicture)
	}
	leave, err := enter(ctx, k.decoding)
	if err != nil {
		return a, err
	}
	defer leave()
	data := bytes.NewBuffer(make([]byte, 0, a.Size+bytes.MinRead))
	if err := k.read(ctx, a, func(r io.Reader) error { _, err := data.ReadFrom(r); return err }); err != nil {
		return a, err
	}
	p, err := picture.Clean(a.Type, data.Bytes())
	switch {
	case errors.Is(err, picture.ErrTooLarge):
		return a, parley.Errorf(parley.CodeTooLarge, "a picture has %d million pixels at most", picture.MaxPixels/1_000_000)
	case errors.Is(err, picture.ErrDamaged):
		return a, parley.Errorf(parley.CodeInvalid, "the picture is damaged")
	case err != nil:
		return a, fmt.Errorf("clean picture: %w", err)
	}
	if p.Width*p.Height > muchPixels {
		data = nil
		debug.FreeOSMemory()
	}
	sum := sha256.Sum256(p.Data)
	a.Width, a.Height, a.Thumbnail, a.Sum = p.Width, p.Height, p.Thumbnail != nil, hex.EncodeToString(sum[:])
	if a.Size, err = k.Blobs.Put(ctx, a.FileBlob(), bytes.NewReader(p.Data)); err != nil || !a.Thumbnail {
		return a, err
	}
	_, err = k.Blobs.Put(ctx, a.ThumbnailBlob(), bytes.NewReader(p.Thumbnail))
	return a, err
}

// drop removes an upload that was refused. What fails is swept.
func (k *Keeper) drop(ctx context.Context, a parley.Attachment) {
	ctx = context.WithoutCancel(ctx)
	a = k.next(a, parley.AttachmentGoing)
	err := k.save(ctx, a)
	if err == nil {
		err = k.remove(ctx, a)
	}
	if err != nil {
		k.Logger.Warn("refused attachment stays until it is swept", "attachment", a.ID, "error", err)
	}
}
