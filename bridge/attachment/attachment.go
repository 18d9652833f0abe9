// Package attachment takes files into conversations: in pieces, examined before
// anybody gets them, and removed when nobody has them any more.
package attachment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/internal/pace"
)

// Blobs keeps bytes under names. What was put is durable; see bridge/blob.
type Blobs interface {
	Put(ctx context.Context, name string, r io.Reader) (int64, error)
	// Open fails with fs.ErrNotExist if there is none.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, int64, error)
	Delete(ctx context.Context, name string) error
	// DeleteAll removes all whose names begin with group, up to the second dot.
	DeleteAll(ctx context.Context, group string) error
	List(ctx context.Context, until time.Time, do func(name string) error) error
}

// Rows keeps what is known about attachments; see bridge.Store.
type Rows interface {
	SaveAttachment(ctx context.Context, a parley.Attachment) error
	Attachment(ctx context.Context, site, id string) (parley.Attachment, error)
	Attachments(ctx context.Context, q bridge.AttachmentQuery) ([]parley.Attachment, error)
	DeleteAttachment(ctx context.Context, site, id string) error
}

// Conversations decides who may do what; see bridge.Bridge.
type Conversations interface {
	MayAttach(ctx context.Context, who parley.Identity, conversation string) error
	MaySee(ctx context.Context, who parley.Identity, a parley.Attachment) error
	MessageOf(ctx context.Context, a parley.Attachment) (parley.Entry, error)
}

// Scanner says whether a file is infected: then it fails with an *parley.Error that is
// not temporary. Any other error means that it cannot say.
type Scanner interface {
	Scan(ctx context.Context, r io.Reader) error
}

// Limits unless the operator sets others.
const (
	MaxSize  = 25 << 20 // bytes of one file
	Underway = 4        // times that, of a user's files that no message has
	Uploads  = 60       // begun by one user at once, and again in every ten minutes

	leastKept   = 64 << 10 // bytes of a piece that broke off
	maxParts    = 1000
	period      = 10 * time.Minute
	maxUsers    = 100_000 // whose pace is remembered
	maxUnsent   = 100     // files of a user that no message has
	examineTime = 50 * time.Second
	saveTime    = 15 * time.Second // to note a piece that has come, also when its sender has left
)

// Options configure a Keeper. Rows, Blobs and Conversations are required.
type Options struct {
	Rows          Rows
	Blobs         Blobs
	Conversations Conversations
	Scanner       Scanner // nil: nothing is scanned

	MaxSize int64         // bytes of one file; 0 means the constant
	Uploads int           // 0 means the constant; negative: no limit
	Keep    time.Duration // how long what no message has is kept; 0 means a day

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // time.Now
}

func (o Options) withDefaults() Options {
	if o.MaxSize == 0 {
		o.MaxSize = MaxSize
	}
	if o.Uploads == 0 {
		o.Uploads = Uploads
	}
	if o.Keep == 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Keeper takes attachments, gives them out and removes them. All methods are safe for
// concurrent use. Refusals are *parley.Error; any other error is temporary.
type Keeper struct {
	Options
	pace      *pace.Limiter
	beginning sync.Mutex    // one decision about what a user has under way at a time
	examining chan struct{} // holds as many as are examined at once
	decoding  chan struct{} // one picture at a time: each takes much memory

	released chan struct{} // holds one
	stop     context.CancelFunc
	done     sync.WaitGroup

	taken, refused, unscanned, removed atomic.Int64
}

// Stats counts what a Keeper did since it started.
type Stats struct {
	Taken     int64 // uploads that were completed
	Refused   int64 // uploads that were examined and refused for good
	Unscanned int64 // examinations that failed for now, most of them because the scanner did not answer
	Removed   int64 // attachments removed, with their bytes
}

// Stats returns the counters.
func (k *Keeper) Stats() Stats {
	return Stats{k.taken.Load(), k.refused.Load(), k.unscanned.Load(), k.removed.Load()}
}

// New returns a Keeper. Start begins to sweep.
func New(o Options) *Keeper {
	o = o.withDefaults()
	return &Keeper{
		Options: o, pace: pace.New(o.Now, o.Uploads, period, maxUsers),
		examining: make(chan struct{}, 4), decoding: make(chan struct{}, 1),
		released: make(chan struct{}, 1), stop: func() {},
	}
}

// Begin starts an upload of size bytes to a conversation. sum is the SHA-256 of the
// file in lower-case hex, or empty; what comes must have it.
func (k *Keeper) Begin(ctx context.Context, who parley.Identity, conversation, name string, size int64, sum string) (parley.Attachment, error) {
	switch {
	case size < 1:
		return parley.Attachment{}, parley.Errorf(parley.CodeInvalid, "the file is empty")
	case size > k.MaxSize:
		return parley.Attachment{}, parley.Errorf(parley.CodeTooLarge, "the file has %d bytes, at most %d are allowed", size, k.MaxSize)
	case sum != "" && !isSum(sum):
		return parley.Attachment{}, parley.Errorf(parley.CodeInvalid, "sha256 is 64 digits of lower-case hex")
	}
	if err := k.Conversations.MayAttach(ctx, who, conversation); err != nil {
		return parley.Attachment{}, err
	}
	if wait := k.pace.Take(who.Site + " " + who.User); wait > 0 {
		return parley.Attachment{}, parley.Limited(wait, "these are many files; go on in %d seconds", parley.Seconds(wait))
	}
	now := k.Now().UnixMilli()
	a := parley.Attachment{
		Site: who.Site, ID: parley.NewID(parley.PrefixAttachment), Conversation: conversation, Uploader: who.User,
		State: parley.AttachmentTaking, Version: 1, At: now, ChangedAt: now, Name: cleanName(name), Size: size, Sum: sum,
	}
	k.beginning.Lock()
	defer k.beginning.Unlock()
	if err := k.refuseMore(ctx, who, size); err != nil {
		return parley.Attachment{}, err
	}
	return a, k.save(ctx, a)
}

func isSum(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(s) == 64
}

// refuseMore bounds what a user has on the disk that no message has.
func (k *Keeper) refuseMore(ctx context.Context, who parley.Identity, size int64) error {
	unsent, err := k.Rows.Attachments(ctx, bridge.AttachmentQuery{
		Site: who.Site, Uploader: who.User, States: []parley.AttachmentState{parley.AttachmentTaking, parley.AttachmentReady}, Limit: maxUnsent,
	})
	if err != nil {
		return fmt.Errorf("read attachments: %w", err)
	}
	total := size
	for _, a := range unsent {
		total += a.Size
	}
	if total > Underway*k.MaxSize || len(unsent) >= maxUnsent {
		return parley.Errorf(parley.CodeRateLimited, "you have many files under way; send or remove some of them first")
	}
	return nil
}

func (k *Keeper) save(ctx context.Context, a parley.Attachment) error {
	if err := k.Rows.SaveAttachment(ctx, a); err != nil {
		return fmt.Errorf("save attachment: %w", err)
	}
	return nil
}

// next is a with another state, to be saved.
func (k *Keeper) next(a parley.Attachment, state parley.AttachmentState) parley.Attachment {
	a.State, a.Version, a.ChangedAt = state, a.Version+1, k.Now().UnixMilli()
	return a
}

func errNotFound() *parley.Error { return parley.Errorf(parley.CodeNotFound, "no such attachment") }

// own returns an attachment that who uploads.
func (k *Keeper) own(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error) {
	a, err := k.Rows.Attachment(ctx, who.Site, id)
	if err != nil {
		return a, fmt.Errorf("read attachment: %w", err)
	}
	if a.ID == "" || a.Uploader != who.User || a.State == parley.AttachmentGoing {
		return a, errNotFound()
	}
	return a, nil
}

// Lookup returns an attachment that who may see: CodeNotFound otherwise.
func (k *Keeper) Lookup(ctx context.Context, who parley.Identity, id string) (parley.Attachment, error) {
	a, err := k.Rows.Attachment(ctx, who.Site, id)
	if err != nil {
		return a, fmt.Errorf("read attachment: %w", err)
	}
	return a, k.Conversations.MaySee(ctx, who, a)
}

// Discard removes an upload that no message has.
func (k *Keeper) Discard(ctx context.Context, who parley.Identity, id string) error {
	a, err := k.own(ctx, who, id)
	if err != nil {
		return err
	}
	if a.Message != "" {
		return parley.Errorf(parley.CodeConflict, "a message has this file; delete the message")
	}
	a = k.next(a, parley.AttachmentGoing)
	if err := k.save(ctx, a); errors.Is(err, parley.ErrStale) {
		return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeUnavailable, "the upload is changing; try again"), err)
	} else if err != nil {
		return err
	}
	return k.remove(ctx, a)
}

// Add takes the next piece of an upload, of parley.MaxAttachmentChunk bytes at most, which begins at
// offset, and returns where it ends: what comes before that is durable. When r breaks
// off, what it had is kept if it is 64 KiB or more. CodeConflict says that the upload
// is somewhere else; Lookup tells where.
func (k *Keeper) Add(ctx context.Context, who parley.Identity, id string, offset int64, r io.Reader) (int64, error) {
	a, err := k.own(ctx, who, id)
	if err != nil {
		return 0, err
	}
	if a.State != parley.AttachmentTaking {
		return 0, parley.Errorf(parley.CodeConflict, "the upload is complete")
	}
	if at := a.Offset(); offset != at {
		return 0, parley.Errorf(parley.CodeConflict, "the upload is at %d, not at %d", at, offset)
	}
	if len(a.Parts) >= maxParts {
		return 0, parley.Errorf(parley.CodeInvalid, "the pieces are too small; begin again with larger ones")
	}
	part, err := k.putPart(ctx, a, r)
	if err != nil {
		return 0, err
	}
	a = k.next(a, parley.AttachmentTaking)
	a.Parts = append(a.Parts, part)
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	err = k.save(saving, a)
	if errors.Is(err, parley.ErrStale) {
		err = errors.Join(parley.Errorf(parley.CodeConflict, "another request has taken this piece"), k.Blobs.Delete(ctx, a.PartBlob(part)))
	}
	return a.Offset(), err
}

func (k *Keeper) putPart(ctx context.Context, a parley.Attachment, r io.Reader) (parley.AttachmentPart, error) {
	part := parley.AttachmentPart{Name: parley.NewID("")}
	room := min(parley.MaxAttachmentChunk, a.Size-a.Offset())
	p := &piece{r: r, room: room}
	n, err := k.Blobs.Put(context.WithoutCancel(ctx), a.PartBlob(part), p) // what came is kept when the caller goes
	switch {
	case err != nil:
		return part, fmt.Errorf("take piece: %w", err)
	case n == 0:
		return part, errors.Join(parley.Errorf(parley.CodeInvalid, "the piece is empty"), k.Blobs.Delete(ctx, a.PartBlob(part)))
	}
	part.Size = n
	return part, nil
}

// piece reads at most room bytes. It ends where r breaks off, if it is long enough.
type piece struct {
	r    io.Reader
	room int64
	n    int64
}

func (p *piece) Read(b []byte) (int, error) {
	if p.n == p.room { // r must be at its end
		if n, _ := io.ReadFull(p.r, b[:1]); n > 0 {
			return 0, parley.Errorf(parley.CodeTooLarge, "a piece has %d bytes at most, and no more than the file lacks", p.room)
		}
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.room-p.n)])
	p.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		if p.n >= leastKept {
			return n, io.EOF
		}
		return n, fmt.Errorf("%w: %w", parley.Errorf(parley.CodeInvalid, "the piece broke off"), err)
	}
	return n, err
}
