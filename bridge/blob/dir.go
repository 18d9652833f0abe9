// Package blob keeps the bytes of attachments.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// Options configure a Dir. The zero value works.
type Options struct {
	// Reserve is how much room is left to others on the disk: the log, most of all,
	// must still grow when there is none for files. In bytes.
	Reserve int64

	// Owner names whose blobs these are. A folder of another owner is not opened: who
	// sweeps removes what it does not know. Empty asks nobody.
	Owner string

	// Former is another owner whose folder may be taken over, if nobody else uses it
	// any more.
	Former string

	Now func() time.Time // the clock, time.Now
}

// Dir keeps blobs in a folder of this machine. All methods are safe for concurrent
// use, also by several processes.
//
// A blob is a file in one of 256 folders, under the name that the caller gave it,
// in blocks with checksums (see file.go): one that was damaged is not read. It gets
// its name when all of it is on the disk.
type Dir struct {
	path    string
	options Options
	free    func(path string) (int64, error)

	mu   sync.Mutex
	made bool // the folder is there, durably
}

const (
	temporary = "incoming"    // folder of files that have no name yet
	abandoned = 2 * time.Hour // after which nobody writes to one of them any more
	maxName   = 200           // bytes
	modeDir   = fs.FileMode(0o700)
)

// Open opens a folder, which is made when the first blob is put, and removes what
// crashes have left of files that never got a name.
func Open(path string, o Options) (*Dir, error) {
	if path == "" {
		return nil, errors.New("open blobs: no folder given")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Dir{path: path, options: o, free: freeSpace}
	if err := d.checkOwner(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if err := d.sweep(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return d, nil
}

// make makes the folder.
func (d *Dir) make() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(d.path, temporary), modeDir); err != nil {
		return err
	}
	if err := d.own(); err != nil {
		return err
	}
	if err := errors.Join(syncDir(d.path), syncDir(filepath.Dir(filepath.Clean(d.path)))); err != nil {
		return err
	}
	d.made = true
	return nil
}

func (d *Dir) sweep() error {
	entries, err := os.ReadDir(filepath.Join(d.path, temporary))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if d.options.Now().Sub(info.ModTime()) < abandoned {
			continue // another process may be writing it
		}
		if err := os.Remove(filepath.Join(d.path, temporary, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Put stores what r has until its end, and returns how much that was. When it returns
// without an error it is durable; otherwise all of it may be there, or what was there
// before, but no part of it. A blob that is there is replaced. A disk without room is an *parley.Error with
// CodeUnavailable; errors of r come back wrapped.
func (d *Dir) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	target, err := d.file(name)
	if err != nil {
		return 0, err
	}
	if err := d.make(); err != nil {
		return 0, fmt.Errorf("put blob: %w", orFull(err))
	}
	f, err := os.CreateTemp(filepath.Join(d.path, temporary), "*") // with mode 0600
	if err != nil {
		return 0, fmt.Errorf("put blob: %w", orFull(err))
	}
	n, err := d.fill(ctx, f, name, r)
	if err == nil {
		err = d.publish(f.Name(), target)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("put blob: %w", orFull(err)), removeIfThere(f.Name()))
	}
	return n, nil
}

// fill writes the whole file and closes it.
func (d *Dir) fill(ctx context.Context, f *os.File, name string, r io.Reader) (n int64, err error) {
	w := newBlockWriter(f, name)
	n, err = d.copy(ctx, w, r)
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		err = f.Sync()
	}
	return n, errors.Join(err, f.Close())
}

// copy looks for room before each MiB, and for the caller's patience.
func (d *Dir) copy(ctx context.Context, w io.Writer, r io.Reader) (n int64, err error) {
	const step = 1 << 20
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if free, err := d.free(d.path); err != nil || free < d.options.Reserve+step {
			return n, errors.Join(err, errFull())
		}
		more, err := io.CopyN(w, r, step)
		n += more
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// publish gives a finished file its name, durably.
func (d *Dir) publish(from, target string) error {
	shard := filepath.Dir(target)
	err := os.Mkdir(shard, modeDir)
	if err == nil {
		err = syncDir(d.path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(from, target); err != nil {
		return err
	}
	return syncDir(shard)
}

// Open returns a blob for reading and its size. An error while reading means that it
// is damaged, or the disk. It is fs.ErrNotExist if there is none. The caller closes
// it.
func (d *Dir) Open(_ context.Context, name string) (io.ReadSeekCloser, int64, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open blob: %w", err)
	}
	r, err := newBlockReader(f, name)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open blob: %w", err), f.Close())
	}
	return r, r.size, nil
}

// Delete removes a blob, durably. It is idempotent.
func (d *Dir) Delete(_ context.Context, name string) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("delete blob: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// DeleteAll removes all blobs of a group, durably: those whose names begin with it, up
// to the second dot. It is idempotent.
func (d *Dir) DeleteAll(_ context.Context, group string) error {
	path, err := d.file(group + ".x")
	if err != nil {
		return err
	}
	shard := filepath.Dir(path)
	entries, err := os.ReadDir(shard)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete blobs: %w", err)
	}
	for _, e := range entries {
		if groupOf(e.Name()) != group {
			continue
		}
		if err := removeIfThere(filepath.Join(shard, e.Name())); err != nil {
			return fmt.Errorf("delete blobs: %w", err)
		}
	}
	return syncDir(shard)
}

// groupOf returns a name up to its second dot. What is of one group is in one folder.
func groupOf(name string) string {
	first := strings.IndexByte(name, '.')
	if second := strings.IndexByte(name[first+1:], '.'); first >= 0 && second >= 0 {
		return name[:first+1+second]
	}
	return name
}

// List calls do with the name of every blob that was put at time until or earlier, in
// any order, until do fails.
func (d *Dir) List(ctx context.Context, until time.Time, do func(name string) error) error {
	if err := d.checkOwner(); err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	shards, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, shard := range shards {
		if !shard.IsDir() || shard.Name() == temporary {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(d.path, shard.Name()))
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || info.ModTime().After(until) {
				continue // it went meanwhile, or is too young
			}
			if err := errors.Join(ctx.Err(), do(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// file returns where a blob is. Names are made by us, and still looked at.
func (d *Dir) file(name string) (string, error) {
	if len(name) == 0 || len(name) > maxName || strings.Trim(name, ".") != name {
		return "", fmt.Errorf("%q is no name of a blob", name)
	}
	for part := range strings.SplitSeq(name, ".") {
		if part != "" && !parley.ValidID(part) {
			return "", fmt.Errorf("%q is no name of a blob", name)
		}
	}
	sum := sha256.Sum256([]byte(groupOf(name)))
	return filepath.Join(d.path, hex.EncodeToString(sum[:1]), name), nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder: %w", err), f.Close())
	}
	return f.Close()
}
