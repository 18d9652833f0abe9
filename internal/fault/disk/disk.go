// Package disk is a disk that loses power and fails: a file system, on FUSE, over a
// folder, that remembers every write that no fsync has made durable and can take it
// back. As on Linux, what a failed fsync was about is lost for good, though it can
// be read until then: a later fsync succeeds and does not save it.
//
// Removing and renaming are durable at once, which no program may rely on but
// ours does not need to: it removes nothing that it needs. A new file is durable
// after an fsync of itself or of its folder.
package disk

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
)

// Disk remembers what is not durable. It is safe for concurrent use.
type Disk struct {
	mu      sync.Mutex
	files   map[uint64]*file // by inode
	failing bool             // every fsync fails
}

// file is what would not survive of one file.
type file struct {
	path    string
	created bool
	ops     []op
}

// op is a write, or a change of size, that can be undone and done again.
type op struct {
	offset           int64
	old, new         []byte // bytes at offset, before and after
	oldSize, newSize int64
	resize           bool
	saved            bool // by an fsync, but behind one that is doomed
	doomed           bool // an fsync has failed
}

// New returns a disk on which everything is durable so far.
func New() *Disk { return &Disk{files: map[uint64]*file{}} }

func (d *Disk) entry(f *os.File) (*file, int64, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return nil, 0, fmt.Errorf("stat: %w", err)
	}
	e := d.files[st.Ino]
	if e == nil {
		e = &file{path: f.Name()}
		d.files[st.Ino] = e
	}
	return e, st.Size, nil
}

func (d *Disk) created(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, _, err := d.entry(f)
	if err == nil {
		e.created = true
	}
	return err
}

func (d *Disk) write(f *os.File, data []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, size, err := d.entry(f)
	if err != nil {
		return 0, err
	}
	old := make([]byte, max(0, min(int64(len(data)), size-offset)))
	if _, err := f.ReadAt(old, offset); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read what is overwritten: %w", err)
	}
	n, err := f.WriteAt(data, offset)
	e.ops = append(e.ops, op{offset: offset, old: old, new: append([]byte(nil), data[:n]...), oldSize: size, newSize: max(size, offset+int64(n))})
	return n, err
}

func (d *Disk) resize(f *os.File, to int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, size, err := d.entry(f)
	if err != nil {
		return err
	}
	old := make([]byte, max(0, size-to))
	if _, err := f.ReadAt(old, to); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read what is cut off: %w", err)
	}
	e.ops = append(e.ops, op{offset: to, old: old, oldSize: size, newSize: to, resize: true})
	return f.Truncate(to)
}

// Fail makes every fsync fail from now on, or work again.
func (d *Disk) Fail(failing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failing = failing
}

// sync makes a file durable, except for what an earlier one could not.
func (d *Disk) sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, _, err := d.entry(f)
	if err != nil {
		return err
	}
	doomed := false
	for i := range e.ops {
		o := &e.ops[i]
		if !o.saved && d.failing {
			o.doomed = true
		}
		o.saved = o.saved || !o.doomed
		doomed = doomed || o.doomed
	}
	if d.failing {
		return syscall.EIO
	}
	if !doomed {
		e.ops = nil
	}
	e.created = false
	return nil
}

// syncFolders makes all new files durable, though not what is in them.
func (d *Disk) syncFolders() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing {
		return syscall.EIO
	}
	for _, e := range d.files {
		e.created = false
	}
	return nil
}

// Cut loses what is not durable, as a power cut does: of the writes to each
// file none, the first few with the last one torn, or some here and there
// survive. It returns how many writes were lost. Nobody may have a file open.
func (d *Disk) Cut(seed uint64) (lost int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := rand.New(rand.NewPCG(seed, 0))
	for ino, e := range d.files {
		n, err := e.cut(r)
		lost += n
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return lost, err
		}
		delete(d.files, ino)
	}
	return lost, nil
}

func (e *file) cut(r *rand.Rand) (lost int, err error) {
	if e.created && r.IntN(2) == 0 {
		return len(e.ops), os.Remove(e.path)
	}
	if len(e.ops) == 0 {
		return 0, nil
	}
	f, err := os.OpenFile(e.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for i := len(e.ops) - 1; i >= 0; i-- {
		if err := e.ops[i].undo(f); err != nil {
			return 0, err
		}
	}
	kept := 0
	first := r.IntN(len(e.ops) + 1)
	mode := r.IntN(3)
	for i, o := range e.ops {
		whole, torn := false, false
		switch {
		case o.doomed:
		case o.saved:
			whole = true
		case mode == 1:
			whole, torn = i < first, i == first
		case mode == 2:
			whole = r.IntN(2) == 0
		}
		if torn && !o.resize {
			o.new = o.new[:r.IntN(len(o.new)+1)]
			o.newSize = o.offset + int64(len(o.new))
			whole = true
		} else if whole {
			kept++
		}
		if whole {
			if err := o.redo(f); err != nil {
				return 0, err
			}
		}
	}
	return len(e.ops) - kept, nil
}

func (o op) undo(f *os.File) error {
	if _, err := f.WriteAt(o.old, o.offset); err != nil {
		return fmt.Errorf("undo a write: %w", err)
	}
	return f.Truncate(o.oldSize)
}

func (o op) redo(f *os.File) error {
	if o.resize {
		return f.Truncate(o.newSize)
	}
	if _, err := f.WriteAt(o.new, o.offset); err != nil {
		return fmt.Errorf("redo a write: %w", err)
	}
	return nil
}
