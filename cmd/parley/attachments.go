package main

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/bridge/attachment"
	"github.com/parley-chat/parley/bridge/blob"
	"github.com/parley-chat/parley/bridge/clamd"
	"github.com/parley-chat/parley/bridge/s3"
	"github.com/parley-chat/parley/internal/clock"
)

// openAttachments opens what takes files, if there is a place for them.
func (n *node) openAttachments() error {
	where, err := n.config.location()
	if err != nil {
		return err
	}
	folder := n.config.attachmentFolder(where)
	if folder == "" {
		n.log.Info("this server takes no attachments")
		return nil
	}
	if n.blobs, err = n.config.openBlobs(folder, n.store.Epoch(), ""); err != nil {
		return err
	}
	if d, ok := n.blobs.(*blob.Dir); ok { // S3 may be away for a while
		if err := d.Writable(); err != nil {
			return fmt.Errorf("PARLEY_ATTACHMENTS: %w\n(let the user that the server runs as write there, name another folder, or take no files with PARLEY_ATTACHMENTS=off)", err)
		}
	}
	o := attachment.Options{
		Rows: n.seal, Blobs: n.seal.Files(n.blobs), Conversations: n.bridge, MaxSize: n.config.AttachmentSize,
		Uploads: n.limit(n.config.AttachmentLimit, attachment.Uploads), Logger: n.log, Now: clock.Now,
	}
	if n.config.Clamd != "" {
		if o.Scanner, err = clamd.New(n.config.Clamd, n.config.ClamdTime); err != nil {
			return err
		}
	}
	n.keeper = attachment.New(o)
	n.keeper.Start()
	n.onClose("attachments", func(context.Context) error { n.keeper.Close(); return nil })
	return nil
}

// blobs are where the bytes of files are.
type blobs interface {
	attachment.Blobs
	// Own makes the place that of a store, also one that was its former owner's.
	Own(ctx context.Context) error
}

// openBlobs opens where the bytes of files are. former is whose they may have been, empty
// if nobody's.
func (c *config) openBlobs(where, owner, former string) (blobs, error) {
	if s3.Is(where) {
		b, err := c.bucket(owner, former)
		if err != nil {
			return nil, err
		}
		return b, nil
	}
	d, err := blob.Open(where, blob.Options{Owner: owner, Former: former, Reserve: c.AttachmentReserve, Now: clock.Now})
	if err != nil {
		return nil, fmt.Errorf("PARLEY_ATTACHMENTS: %w", err)
	}
	return d, nil
}

// released is called by the bridge, which there is before the keeper.
func (n *node) released() {
	if n.keeper != nil {
		n.keeper.Release()
	}
}
