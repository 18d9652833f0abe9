package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount shows the folder below at the folder at, through the disk, until the
// returned function is called. It needs root and /dev/fuse.
func (d *Disk) Mount(below, at string) (unmount func() error, err error) {
	var st syscall.Stat_t
	if err := syscall.Stat(below, &st); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	root := &fs.LoopbackRoot{Path: below, Dev: uint64(st.Dev)}
	top := &node{LoopbackNode: &fs.LoopbackNode{RootData: root}, disk: d}
	root.RootNode = top
	never := time.Duration(0)
	server, err := fs.Mount(at, top, &fs.Options{
		EntryTimeout: &never, AttrTimeout: &never,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "parley-fault", Name: "parley", MaxWrite: 1 << 20},
	})
	if err != nil {
		return nil, fmt.Errorf("mount: %w (this needs root and /dev/fuse)", err)
	}
	return server.Unmount, nil
}

// node is a file or folder.
type node struct {
	*fs.LoopbackNode
	disk *Disk
}

// WrapChild makes what is in a folder ours, too.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	if inner, ok := child.(*fs.LoopbackNode); ok {
		return &node{LoopbackNode: inner, disk: n.disk}
	}
	return child
}

func (n *node) file() string {
	return filepath.Join(n.RootData.Path, n.Path(n.RootData.RootNode.EmbeddedInode()))
}

// Open opens a file so that its writes are remembered.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	keep := int(flags) &^ (syscall.O_APPEND | syscall.O_TRUNC | fuse.FMODE_EXEC)
	if keep&syscall.O_ACCMODE == syscall.O_WRONLY {
		keep = keep&^syscall.O_ACCMODE | syscall.O_RDWR // what is overwritten has to be read
	}
	f, err := os.OpenFile(n.file(), keep, 0)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	h := n.handle(f)
	if flags&syscall.O_TRUNC != 0 {
		err = n.disk.resize(f, 0)
	}
	return h, 0, errno(err)
}

// Create makes a file that is not durable yet.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	path := filepath.Join(n.file(), name)
	_, statErr := os.Lstat(path)
	inode, inner, _, e := n.LoopbackNode.Create(ctx, name, flags&^syscall.O_ACCMODE|syscall.O_RDWR, mode, out)
	if e != 0 {
		return nil, nil, 0, e
	}
	if r, ok := inner.(fs.FileReleaser); ok {
		if e := r.Release(ctx); e != 0 {
			return nil, nil, 0, e
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil && errors.Is(statErr, os.ErrNotExist) {
		err = n.disk.created(f)
	}
	if err != nil {
		return nil, nil, 0, errno(err)
	}
	return inode, n.handle(f), 0, 0
}

func (n *node) handle(f *os.File) *handle { return &handle{f, n.disk} }

// Setattr changes a size so that it is remembered.
func (n *node) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		f, err := os.OpenFile(n.file(), os.O_RDWR, 0)
		if err == nil {
			err = errors.Join(n.disk.resize(f, int64(size)), f.Close())
		}
		if err != nil {
			return errno(err)
		}
		in.Valid &^= fuse.FATTR_SIZE
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

// Getattr asks the file, not a handle.
func (n *node) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.LoopbackNode.Getattr(ctx, nil, out)
}

// Fsync makes a file durable, or the names in a folder.
func (n *node) Fsync(_ context.Context, h fs.FileHandle, _ uint32) syscall.Errno {
	if h, ok := h.(*handle); ok {
		return errno(n.disk.sync(h.File))
	}
	return errno(n.disk.syncFolders())
}

// handle is an open file.
type handle struct {
	*os.File
	disk *Disk
}

// Read reads.
func (h *handle) Read(_ context.Context, b []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n, err := h.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errno(err)
	}
	return fuse.ReadResultData(b[:n]), 0
}

// Write writes, for now.
func (h *handle) Write(_ context.Context, b []byte, offset int64) (uint32, syscall.Errno) {
	n, err := h.disk.write(h.File, b, offset)
	return uint32(n), errno(err)
}

// Flush does nothing: closing makes nothing durable.
func (h *handle) Flush(context.Context) syscall.Errno { return 0 }

// Release closes.
func (h *handle) Release(context.Context) syscall.Errno { return errno(h.Close()) }

// Allocate grows the file where it has to; its bytes read as zero.
func (h *handle) Allocate(_ context.Context, offset, size uint64, mode uint32) syscall.Errno {
	info, err := h.Stat()
	if err != nil || mode != 0 {
		return syscall.EOPNOTSUPP
	}
	if int64(offset+size) <= info.Size() {
		return 0
	}
	return errno(h.disk.resize(h.File, int64(offset+size)))
}

func errno(err error) syscall.Errno {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e
	default:
		return syscall.EIO
	}
}

// Serve mounts, says "ready", and then does as it is told on in, one word and one
// number in each line, until that ends: "cut SEED" cuts the power and answers how many
// writes were lost, "fail 1" makes every fsync fail and "fail 0" work again, which
// answers 0.
func Serve(below, at string, in io.Reader, out io.Writer) (err error) {
	d := New()
	unmount, err := d.Mount(below, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return fmt.Errorf("tell that the disk is there: %w", err)
	}
	for {
		var word string
		var number uint64
		if _, err := fmt.Fscanln(in, &word, &number); err != nil {
			return nil
		}
		lost := 0
		switch word {
		case "cut":
			lost, err = d.Cut(number)
		case "fail":
			d.Fail(number == 1)
		default:
			err = fmt.Errorf("%q is nothing that a disk does", word)
		}
		if err == nil {
			_, err = fmt.Fprintln(out, lost)
		}
		if err != nil {
			return err
		}
	}
}
