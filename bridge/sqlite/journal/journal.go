// Package journal keeps batches of bytes in files of one folder, in order and
// fsynced, until somebody lets go of them.
//
// It knows nothing of what is in a batch. One goroutine appends; another may
// let go of old batches meanwhile. Replay reads what a process that died has
// left behind.
package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/parley-chat/parley/internal/crash"
)

// DefaultSegmentSize is how many bytes a segment takes before the next one
// begins. A batch that is larger gets a segment of its own.
const DefaultSegmentSize = 16 << 20

const (
	growStep = 256 << 10 // a file grows by so many zeros, so that most fsyncs need not write the inode
	freeKept = 2         // files that wait to be used again
)

// ErrFull says that there was no space: nothing of the batch is in the journal,
// and the next Append may work.
var ErrFull = errors.New("no space left for the journal")

// ErrSuspect says that a file did not take what was written. Whether the batch
// is there is not known until Renew has succeeded; then it is not.
var ErrSuspect = errors.New("the journal's file is suspect")

// Options tells where a journal is.
type Options struct {
	Dir         string
	Epoch       string // identity of the store, at most 64 bytes
	SegmentSize int64  // 0 means DefaultSegmentSize
}

// Position is where a journal ends.
type Position struct {
	Segment uint64 // number of the newest segment, 0 if there is none
	Valid   int64  // how many bytes of it are valid
	Batch   uint64 // number of the newest batch, 0 if there is none
}

// Journal is a journal that can be appended to. Append and Renew belong to one
// goroutine, Close comes after them; Release, Segments and Remove may be called
// by others.
type Journal struct {
	o       Options
	file    *os.File
	number  uint64
	salt    uint64
	offset  int64 // the next record's
	size    int64 // of the file, which has zeros or old records from offset on
	batch   uint64
	suspect bool

	mu   sync.Mutex
	full []fullSegment // not let go yet, in order
	free []freeFile    // to be used again
	used uint64        // newest segment whose file is not used again
}

// freeFile was the file of a segment.
type freeFile struct {
	number uint64
	path   string
}

type fullSegment struct{ number, last uint64 }

// Start begins a new segment behind after. What is before it may be deleted
// with Forget once nobody needs it.
func Start(o Options, after Position) (*Journal, error) {
	if len(o.Epoch) > maxEpoch {
		return nil, fmt.Errorf("epoch of %d bytes, %d are allowed", len(o.Epoch), maxEpoch)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	j := &Journal{o: o, number: after.Segment, offset: after.Valid, batch: after.Batch}
	if err := j.next(); err != nil {
		return nil, err
	}
	return j, nil
}

// Append makes a batch durable and returns its number, one more than that of
// the batch before. record is the payload behind Room bytes, which Append
// fills. After ErrFull nothing has happened; after any other error the journal
// takes nothing more before Renew.
func (j *Journal) Append(record []byte) (batch uint64, err error) {
	if j.suspect {
		return 0, ErrSuspect
	}
	if err := j.makeRoom(int64(len(record))); err != nil {
		return 0, err
	}
	seal(record, j.salt, j.batch+1)
	if err := j.write(record); err != nil {
		return 0, j.failed("write", err)
	}
	crash.At(crash.JournalWritten)
	if err := syncData(j.file); err != nil {
		j.suspect = true // the kernel may have dropped the pages: a second fsync would prove nothing
		return 0, j.failed("fsync", err)
	}
	crash.At(crash.JournalSynced)
	j.offset += int64(len(record))
	j.batch++
	return j.batch, nil
}

func (j *Journal) write(record []byte) error {
	if crash.Next(crash.JournalTorn) {
		_, _ = j.file.WriteAt(record[:len(record)/2], j.offset) // the process is about to die
	}
	crash.At(crash.JournalTorn)
	_, err := j.file.WriteAt(record, j.offset)
	return err
}

// failed sorts an error of the present segment's file.
func (j *Journal) failed(action string, err error) error {
	err = fmt.Errorf("%s %s: %w", action, segmentFile(j.o.Dir, j.number), err)
	if !j.suspect && noSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	j.suspect = true
	return fmt.Errorf("%w: %w", ErrSuspect, err)
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// makeRoom sees to it that n bytes at the offset exist: in the next segment if
// this one is full.
func (j *Journal) makeRoom(n int64) error {
	if j.offset > blockSize && j.offset+n > j.o.SegmentSize {
		if err := j.next(); err != nil {
			return err
		}
	}
	return j.Reserve(n)
}

// Reserve sees to it that the present segment has room for n bytes. It fails as
// Append does.
func (j *Journal) Reserve(n int64) error {
	if j.suspect {
		return ErrSuspect
	}
	for j.offset+n > j.size {
		if err := j.grow(); err != nil {
			return err
		}
	}
	return nil
}

// grow appends zeros to the file. They become durable with the next batch.
func (j *Journal) grow() error {
	_, err := j.file.WriteAt(make([]byte, growStep), j.size)
	if err == nil {
		j.size += growStep
		return nil
	}
	err = j.failed("extend", err)
	return errors.Join(err, j.file.Truncate(j.size)) // give back what little there was
}

// Renew begins a new segment that says how much of the present one is valid.
// The batch whose Append failed is not in the journal from then on.
func (j *Journal) Renew() error { return j.next() }

// next makes the next segment the present one. When that fails after the file
// got its name, appending to the present one could contradict it: only Renew
// goes on.
func (j *Journal) next() error {
	b := block{number: j.number + 1, salt: newSalt(), firstBatch: j.batch + 1, before: j.offset, epoch: j.o.Epoch}
	f, size, err := j.create(&b)
	if err != nil {
		if noSpace(err) && !j.suspect {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		j.suspect = true
		return fmt.Errorf("%w: %w", ErrSuspect, err)
	}
	if j.file != nil {
		_ = j.file.Close() // its bytes were fsynced one by one
		j.mu.Lock()
		j.full = append(j.full, fullSegment{number: j.number, last: j.batch})
		j.mu.Unlock()
	}
	j.file, j.number, j.salt, j.offset, j.size, j.suspect = f, b.number, b.salt, blockSize, size, false
	return nil
}

func newSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint64(b[:])
}

// create makes the file of a segment and gives it its name when its beginning
// is durable. A file of that name, left by a failed try, is replaced.
func (j *Journal) create(b *block) (f *os.File, size int64, err error) {
	path := j.takeFree()
	if path == "" {
		path = filepath.Join(j.o.Dir, fmt.Sprintf("%s%06d", freePrefix, b.number))
	}
	if f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, 0, fmt.Errorf("create a segment: %w", err)
	}
	if size, err = prepare(f, b); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("create a segment: %w", err), f.Close(), os.Remove(path))
	}
	if f, err = rename(f, path, segmentFile(j.o.Dir, b.number)); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("name a segment: %w", err), f.Close(), os.Remove(path))
	}
	if err := syncDir(j.o.Dir); err != nil {
		j.suspect = true
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

func prepare(f *os.File, b *block) (size int64, err error) {
	if _, err := f.WriteAt(b.encode(), 0); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (j *Journal) takeFree() (path string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.free) > 0 {
		path, j.free = j.free[0].path, j.free[1:]
	}
	return path
}

// Rotate begins a new segment, in a file that has held nothing, and returns the
// newest batch before it. The files of the segments before are deleted when
// their batches are let go of, instead of being used again. It belongs to the
// goroutine that appends; after an error it is with the journal as after one of
// Append.
func (j *Journal) Rotate() (batch uint64, err error) {
	if j.suspect {
		return 0, ErrSuspect
	}
	if err := j.forgetFree(); err != nil {
		return 0, fmt.Errorf("%w: delete a free file: %w", ErrFull, err)
	}
	return j.batch, j.next()
}

func (j *Journal) forgetFree() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used = j.number
	for len(j.free) > 0 {
		if err := os.Remove(j.free[0].path); err != nil {
			return err
		}
		j.free = j.free[1:]
	}
	return nil
}

// Release lets go of all batches up to batch. Files that hold nothing else are
// deleted or kept to be used again. After an error they may stay until Remove.
func (j *Journal) Release(batch uint64) error {
	j.mu.Lock()
	n := 0
	for n < len(j.full) && j.full[n].last <= batch {
		n++
	}
	done, room := j.full[:n], freeKept-len(j.free)
	j.full = j.full[n:]
	used := j.used
	j.mu.Unlock()
	var errs []error
	var free []freeFile
	for _, s := range done {
		path, err := j.retire(s.number, s.number > used && len(free) < room)
		errs = append(errs, err)
		if path != "" {
			free = append(free, freeFile{s.number, path})
		}
	}
	if len(free) == 0 {
		return errors.Join(errs...)
	}
	if err := syncDir(j.o.Dir); err != nil { // the old name must not come back for a file with a new beginning
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, j.keep(free))...)
}

// keep keeps files to be used again, unless Rotate was called meanwhile.
func (j *Journal) keep(free []freeFile) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for _, f := range free {
		if f.number > j.used {
			j.free = append(j.free, f)
			continue
		}
		errs = append(errs, os.Remove(f.path))
	}
	return errors.Join(errs...)
}

// retire takes a segment's name away.
func (j *Journal) retire(number uint64, keep bool) (path string, err error) {
	name := segmentFile(j.o.Dir, number)
	info, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("let go of a segment: %w", err)
	}
	if !keep || info.Size() > 2*j.o.SegmentSize {
		return "", os.Remove(name)
	}
	path = filepath.Join(j.o.Dir, fmt.Sprintf("%s%06d", freePrefix, number))
	return path, os.Rename(name, path)
}

// Segments returns how many segments hold batches that nobody has let go of,
// the present one included.
func (j *Journal) Segments() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.full) + 1
}

// Position returns where the journal ends. It belongs to the goroutine that
// appends.
func (j *Journal) Position() Position {
	return Position{Segment: j.number, Valid: j.offset, Batch: j.batch}
}

// Close closes the present file. It deletes nothing.
func (j *Journal) Close() error { return j.file.Close() }

// Forget deletes the segments below number, and the files that wait to be used
// again. Nobody may be appending.
func Forget(dir string, below uint64) error {
	numbers, free, err := segments(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n < below {
			free = append(free, segmentFile(dir, n))
		}
	}
	var errs []error
	for _, path := range free {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
