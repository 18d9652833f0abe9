package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/s3"
)

// checkPlace fails, before anything is begun, if the files of a backup would be nowhere.
func (r *restoreRun) checkPlace(at location, p *proven) error {
	if p.end.Blobs == 0 || r.stored.Attachments == "off" || r.stored.attachmentFolder(at) != "" {
		return nil
	}
	return fmt.Errorf("the backup has %s that people have sent: say with --attachments where they go, or --attachments off to leave them out", counted(p.end.Blobs, "file", "files"))
}

// place opens where the server of the new store looks for files, and makes it that
// store's; nil if none are put.
func (r *restoreRun) place(ctx context.Context, at location, epoch string, p *proven) (blobs, error) {
	where := r.stored.attachmentFolder(at)
	switch {
	case p.end.Blobs == 0 && p.end.Left > 0:
		r.placed = "The files that people have sent were left out of the backup."
		return nil, nil
	case p.end.Blobs == 0 && p.end.Lost > 0:
		r.placed = p.missing()[0]
		return nil, nil
	case p.end.Blobs == 0:
		r.placed = "There are no files in it that people have sent."
		return nil, nil
	case where == "":
		r.placed = "The files that people have sent were left out."
		return nil, nil
	}
	former := ""
	if r.takeOver {
		former = p.header.Epoch
	}
	to, err := r.stored.openBlobs(where, epoch, former)
	if err == nil {
		err = to.Own(ctx)
	}
	if err != nil {
		return nil, explainPlace(err, where)
	}
	return to, nil
}

// putFiles puts the files of a backup, and reads each of them again.
func (r *restoreRun) putFiles(ctx context.Context, at location, to blobs, p *proven) error {
	if to == nil {
		return nil
	}
	where := r.stored.attachmentFolder(at)
	file, err := r.open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	r.screen.begin("restoring files to " + where)
	defer r.screen.clear()
	done := int64(0)
	files, left, err := backup.Files(ctx, file, p.gone, func(name string, size int64, from io.Reader) error {
		done++
		r.screen.at(float64(done)/float64(p.end.Blobs), counted(done, "file", "files"))
		return putFile(ctx, to, name, size, from)
	})
	if err != nil {
		return explainPlace(err, where)
	}
	r.placed = fmt.Sprintf("%s in %s, the same as in the backup.", counted(files, "file or thumbnail is", "files and thumbnails are"), where)
	if left > 0 {
		r.placed += fmt.Sprintf(" %s since, and left out.", counted(left, "was deleted", "were deleted"))
	}
	for _, line := range p.missing() {
		r.placed += "\n  " + line
	}
	return nil
}

// missing says what the backup lacks that messages show; nothing if it lacks nothing.
func (p *proven) missing() []string {
	if p.end.Lost == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s missing in it, which the server had lost before the backup: %s", counted(p.end.Lost, "file of messages is", "files of messages are"), p.end.LostNames)}
}

// putFile puts a file, and reads it again.
func putFile(ctx context.Context, to blobs, name string, size int64, from io.Reader) (err error) {
	want, got := sha256.New(), sha256.New()
	if _, err := to.Put(ctx, name, io.TeeReader(from, want)); err != nil {
		return err
	}
	there, length, err := to.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	if _, err := io.Copy(got, there); err != nil {
		return fmt.Errorf("read %s again: %w", name, err)
	}
	if length != size || string(want.Sum(nil)) != string(got.Sum(nil)) {
		return fmt.Errorf("%s is read again as something else", name)
	}
	return nil
}

// explainPlace says what to do about files that could not be put.
func explainPlace(err error, where string) error {
	var refusal *parley.Error
	switch {
	case errors.Is(err, blob.ErrForeign), errors.Is(err, s3.ErrForeign):
		return fmt.Errorf("%s has the files of another store. If that is the store that the backup was made of, and it is gone for good, add --take-over; otherwise name another place with --attachments", where)
	case errors.Is(err, syscall.ENOSPC), errors.As(err, &refusal) && refusal.Code == parley.CodeUnavailable:
		return &noRoom{where, err}
	}
	return err
}

// noRoom says that there is no room for files.
type noRoom struct {
	where string
	err   error
}

func (e *noRoom) Error() string {
	return fmt.Sprintf("there is no room for the files in %s (PARLEY_ATTACHMENT_RESERVE is left to others)", e.where)
}

func (e *noRoom) Unwrap() error { return e.err }
