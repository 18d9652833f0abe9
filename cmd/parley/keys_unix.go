//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lockFile opens an empty file for writing that nobody else has open like this; what a
// command that was killed has left there is in nobody's way.
func lockFile(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w\n(if it was left by a command that was killed, remove it)", err)
		}
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("another command is writing %s: try again when it has ended", name)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		ours, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		there, err := os.Lstat(name)
		if err == nil && os.SameFile(ours, there) {
			if err := f.Truncate(0); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		}
		// whoever had it has put it in its place meanwhile
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// placeLocked gives a locked file the name of another, which it takes the place of, and
// closes it. Where that fails nothing is left of it.
func placeLocked(f *os.File, name string) error {
	if err := os.Rename(f.Name(), name); err != nil {
		return errors.Join(err, dropLocked(f))
	}
	return f.Close()
}

// dropLocked removes a locked file and closes it, in that order: it is nobody else's until
// it is closed.
func dropLocked(f *os.File) error { return errors.Join(os.Remove(f.Name()), f.Close()) }

// keepOwner makes a file that of whom another belongs to.
func keepOwner(f *os.File, of fs.FileInfo) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	has, ok := ours.Sys().(*syscall.Stat_t)
	wants, known := of.Sys().(*syscall.Stat_t)
	if !ok || !known || has.Uid == wants.Uid && has.Gid == wants.Gid {
		return nil
	}
	return f.Chown(int(wants.Uid), int(wants.Gid))
}
