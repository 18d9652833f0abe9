package attachment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/parley-chat/parley"
)

// File returns the bytes of an attachment, or of its thumbnail, that who may see now:
// CodeNotFound otherwise.
func (k *Keeper) File(ctx context.Context, who parley.Identity, id string, thumbnail bool) (parley.AttachmentFile, error) {
	a, err := k.Lookup(ctx, who, id)
	if err != nil {
		return parley.AttachmentFile{}, err
	}
	if !a.Complete() || thumbnail && !a.Thumbnail {
		return parley.AttachmentFile{}, errNotFound()
	}
	f := parley.AttachmentFile{Name: a.Name, Type: a.Type, Inline: kinds()[a.Type].inline, Tag: a.ID}
	blob := a.FileBlob()
	if thumbnail {
		f.Tag, blob = f.Tag+"-t", a.ThumbnailBlob()
	}
	r, _, err := k.Blobs.Open(ctx, blob)
	if errors.Is(err, fs.ErrNotExist) { // it goes at this moment, or the folder is not the one that was written to
		return parley.AttachmentFile{}, fmt.Errorf("%w: %w", errNotFound(), err)
	}
	if err != nil {
		return parley.AttachmentFile{}, fmt.Errorf("open attachment: %w", err)
	}
	f.ReadSeekCloser = r
	if thumbnail {
		if err := asThumbnail(&f); err != nil {
			return parley.AttachmentFile{}, errors.Join(err, r.Close())
		}
	}
	return f, nil
}

// asThumbnail finds out which of the two types it has.
func asThumbnail(f *parley.AttachmentFile) error {
	head := make([]byte, 16)
	if _, err := io.ReadFull(f, head); err != nil {
		return fmt.Errorf("read thumbnail: %w", err)
	}
	f.Type, _ = kindOf(head)
	f.Name, f.Inline = fitName(f.Name, f.Type), true
	_, err := f.Seek(0, io.SeekStart)
	return err
}
