package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Lag is what a source has that a restored store does not.
type Lag struct {
	Streams int64 // that were compared
	Same    int64 // entries that are in both
	Newer   int64 // entries that only the source has, all behind the backup's position
	Oldest  int64 // server time of the oldest of them, 0 if there is none
	Emptied int64 // entries in both whose bodies only one of them has: they were deleted since

	SameFiles  int64  // files and thumbnails that are in both, byte by byte
	NewerFiles int64  // that only the source has, since the backup does not know of them
	LostFiles  int64  // that the backup knows of and does not have
	GoneFiles  int64  // that the backup has, and the source has lost: missing or damaged there
	GoneName   string // of the first of them
}

// Behind compares a restored store with what its source holds now, given as a backup
// of it: of every stream the store has exactly the entries up to position, each of
// them as it is in the source. The same holds for the files, which are in blobs; nil
// compares none. It fails with what differs first.
func Behind(ctx context.Context, restored bridge.Portable, blobs Blobs, source io.Reader, position int64) (Lag, error) {
	contents, err := Open(source, restored.Epoch(), &Gone{})
	if err != nil {
		return Lag{}, err
	}
	l := &lagging{restored: restored, blobs: blobs, source: contents, position: position}
	if err := l.compare(ctx); err != nil {
		return l.found, err
	}
	if err := l.files(ctx); err != nil {
		return l.found, err
	}
	if _, ended := contents.b.End(); !ended {
		return l.found, fmt.Errorf("the source was not read to its end")
	}
	return l.found, nil
}

type lagging struct {
	restored bridge.Portable
	blobs    Blobs
	source   *Contents
	position int64
	found    Lag
}

func (l *lagging) compare(ctx context.Context) error {
	var page []bridge.StreamState
	var after, last parley.Stream
	for {
		if len(page) == 0 {
			var err error
			if page, err = l.restored.Streams(ctx, last, statesPage); err != nil {
				return err
			}
		}
		next, err := l.source.Streams(ctx, after, 1)
		if err != nil {
			return err
		}
		if len(next) == 0 && len(page) == 0 {
			return nil
		}
		if len(page) > 0 && (len(next) == 0 || page[0].Stream < next[0].Stream) {
			return fmt.Errorf("%s is in the restored store, and not in its source", page[0].Stream)
		}
		have := bridge.StreamState{Stream: next[0].Stream}
		if len(page) > 0 && page[0].Stream == have.Stream {
			have, last, page = page[0], page[0].Stream, page[1:]
		}
		after = have.Stream
		if err := l.stream(ctx, have, next[0]); err != nil {
			return err
		}
	}
}

func (l *lagging) stream(ctx context.Context, have, source bridge.StreamState) error {
	l.found.Streams++
	if have.Seq > source.Seq {
		return fmt.Errorf("%s goes up to entry %d in the restored store, up to entry %d in its source", have.Stream, have.Seq, source.Seq)
	}
	var here []parley.Entry
	for after := int64(0); after < source.Seq; {
		there, err := l.source.Read(ctx, have.Stream, after, entriesPage)
		if err != nil {
			return err
		}
		if len(there) == 0 {
			return fmt.Errorf("%s: entry %d is missing in the source", have.Stream, after+1)
		}
		if here, err = l.restored.Read(ctx, have.Stream, after, len(there)); err != nil {
			return err
		}
		for i := range there {
			after++
			if i < len(here) {
				if err := l.entry(&here[i], &there[i]); err != nil {
					return err
				}
				continue
			}
			if there[i].At <= l.position {
				return fmt.Errorf("%s: entry %d is missing in the restored store", have.Stream, after)
			}
			if storesOwn(have.Stream) {
				continue // keys that were changed are nobody's words
			}
			l.found.Newer++
			if l.found.Oldest == 0 || there[i].At < l.found.Oldest {
				l.found.Oldest = there[i].At
			}
		}
	}
	return nil
}

func (l *lagging) entry(here, there *parley.Entry) error {
	same := here.Seq == there.Seq && here.ID == there.ID && here.Sender == there.Sender && here.Device == there.Device && here.Role == there.Role &&
		here.Type == there.Type && here.At == there.At && here.Count == there.Count && bytes.Equal(here.Digest, there.Digest)
	switch {
	case here.Redacted != there.Redacted:
		if !storesOwn(here.Stream) { // nobody has deleted that
			l.found.Emptied++
		}
	case !bytes.Equal(here.Body, there.Body):
		same = false
	}
	if !same {
		return fmt.Errorf("%s: entry %d is another one in the restored store", here.Stream, here.Seq)
	}
	l.found.Same++
	return nil
}

// files compares what follows behind the streams.
func (l *lagging) files(ctx context.Context) error {
	for {
		it, err := l.source.peek()
		if err != nil || it == nil {
			return err
		}
		l.source.take()
		if it.kind != itemBlob {
			return l.source.b.damaged("something follows behind the streams")
		}
		p := newPieces(l.source.b, *it)
		err = l.file(ctx, p)
		if _, rest := io.Copy(io.Discard, p); err == nil && !errors.Is(rest, errLost) {
			err = rest
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (l *lagging) file(ctx context.Context, p *pieces) error {
	if l.blobs == nil {
		return nil
	}
	name := p.line.Name
	r, size, err := l.blobs.Open(ctx, name)
	if p.line.Lost && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		known, err := has(ctx, l.restored, bridge.RowAttachment, attachmentOf(name))
		if known {
			l.found.LostFiles++
		} else {
			l.found.NewerFiles++
		}
		return err
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if p.line.Lost {
		l.gone(name)
		return nil
	}
	here, there := sha256.New(), sha256.New()
	if _, err := io.Copy(here, r); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(there, p); err != nil {
		if errors.Is(err, errLost) {
			l.gone(name)
			return nil
		}
		return err
	}
	if size != p.line.Size || !bytes.Equal(here.Sum(nil), there.Sum(nil)) {
		return fmt.Errorf("the file %s is another one in the restored store", name)
	}
	l.found.SameFiles++
	return nil
}

// gone counts a file that only the backup has.
func (l *lagging) gone(name string) {
	if l.found.GoneFiles++; l.found.GoneFiles == 1 {
		l.found.GoneName = name
	}
}

// has reports whether a store has a row of ids. No character of one comes behind ~.
func has(ctx context.Context, p bridge.Portable, kind bridge.RowKind, key string) (bool, error) {
	last := len(key) - 1
	found, err := p.Rows(ctx, kind, key[:last]+string(key[last]-1)+"~", 1)
	return len(found) > 0 && found[0].Key == key, err
}
