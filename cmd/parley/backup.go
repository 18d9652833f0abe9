package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/bridge/backup"
)

func newBackup() *cobra.Command {
	b := backupRun{stored: defaultConfig()}
	var newKey string
	var environment error
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back everything up, while the server runs",
		Long: `Write everything that the store holds into a file: messages, accounts, sessions,
and the server's secret keys, and the files that people have sent, from the folder
or the bucket where they are. Everything that was acknowledged before the backup
began is in it, and of every conversation a beginning without holes. A server may
be using the store: that of an embedded store makes the backup itself.

FILE must not exist; it gets its name when it is whole and on the disk. With - as
FILE the backup goes to the standard output. It is compressed, and encrypted with
age (age-encryption.org) to recipients or with a passphrase.

When files that people have sent are missing or damaged where they should be, the
backup is made without them, and its last line says which; so do parley drill and
parley restore of it.

With --tombstones FILE, what was deleted is added to a file instead, without any of
its text. Do that often, and keep the file apart from the store: a restore of an
older backup needs it, so that what was deleted since does not come back.`,
		Example: `  parley backup --new-key parley.key           # keep it where no thief of backups finds it
  parley backup -r age1… backup-$(date +%F).age
  parley backup -r age1… - | ssh elsewhere 'cat > parley.age'
  parley backup --tombstones /mnt/elsewhere/tombstones.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.screen, b.out = newProgress(cmd.ErrOrStderr()), cmd.OutOrStdout()
			b.log = newBackupLog(cmd.ErrOrStderr())
			switch {
			case environment != nil:
				return environment
			case newKey != "":
				return b.makeKey(newKey)
			case b.tombstones != "" && len(args) == 0:
				return b.collect(cmd.Context())
			case len(args) == 0:
				return errors.New("name the file that the backup goes to: parley backup FILE")
			}
			return b.run(cmd.Context(), args[0])
		},
	}
	environment = errors.Join(b.stored.readEnvironment(), b.keys.readEnvironment())
	f := cmd.Flags()
	b.stored.bindStore(f)
	b.stored.bindAttachments(f)
	f.StringSliceVarP(&b.keys.Recipients, "recipient", "r", b.keys.Recipients, "who can open it, age1… (PARLEY_BACKUP_RECIPIENTS)")
	f.BoolVar(&b.keys.plain, "plain", false, "do not encrypt: everybody who gets the file can read all messages, and sign in as anybody")
	f.StringVar(&b.tombstones, "tombstones", "", "add what was deleted to this file, instead of backing up")
	f.StringVar(&newKey, "new-key", "", "make a key in this file, and show its recipient")
	return cmd
}

// newBackupLog is what the store has to say while it is open.
func newBackupLog(out io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// backupRun is one run of parley backup.
type backupRun struct {
	stored     config
	keys       backupKeys
	tombstones string

	screen *progress
	out    io.Writer
	log    *slog.Logger
}

func (b *backupRun) makeKey(path string) error {
	recipient, err := makeBackupKey(path)
	if err != nil {
		return err
	}
	b.screen.done("the key is in "+path+"; without it, nobody can restore what is encrypted to it",
		"Its recipient, for parley backup -r or PARLEY_BACKUP_RECIPIENTS, is no secret:")
	_, err = fmt.Fprintln(b.out, recipient)
	return err
}

// open opens the source.
func (b *backupRun) open(ctx context.Context) (backupSource, location, error) {
	at, err := b.stored.location()
	if err != nil {
		return nil, at, err
	}
	s, err := b.stored.openToBackup(ctx, at, probeStore && !b.stored.trusting, b.log, b.screen.wait)
	return s, at, err
}

func (b *backupRun) run(ctx context.Context, path string) error {
	lock, err := b.keys.lock()
	if err != nil {
		return err
	}
	if path == "-" {
		if onTerminal(b.out) {
			return errors.New("a backup is not for the screen: name a file, or pipe it on")
		}
		sum, err := b.write(ctx, b.out, lock)
		if err == nil {
			b.warn(sum)
		}
		return b.explain(err, path)
	}
	file, err := newFile(path)
	if err != nil {
		return err
	}
	sum, err := b.write(ctx, file, lock)
	if err == nil {
		err = file.finish()
	}
	if err != nil {
		return errors.Join(b.explain(err, path), file.drop())
	}
	b.tell(sum, path)
	return nil
}

// made is what has come out.
type made struct {
	header backup.Header
	end    backup.End
	bytes  int64
	took   time.Duration
}

// write writes the backup, and proves as it goes by that it is whole.
func (b *backupRun) write(ctx context.Context, out io.Writer, lock *backup.Lock) (sum made, err error) {
	source, at, err := b.open(ctx)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	began := time.Now()
	count := &countingWriter{w: out}
	sealed := io.WriteCloser(nopCloser{count})
	if lock != nil {
		if sealed, err = lock.Seal(count); err != nil {
			return sum, err
		}
	}
	how := ""
	if _, live := source.(*liveStore); live {
		how = ", whose server goes on"
	}
	b.screen.begin(fmt.Sprintf("backing up %s%s", at, how))
	sum.header, sum.end, err = b.pass(ctx, source, sealed, count)
	if err == nil {
		err = sealed.Close()
	}
	b.screen.clear()
	sum.bytes, sum.took = count.n, time.Since(began)
	return sum, err
}

// pass lets the source write to where the backup goes, and reads it on its way.
func (b *backupRun) pass(ctx context.Context, source backupSource, to io.Writer, count *countingWriter) (header backup.Header, end backup.End, err error) {
	err = passing(ctx, source, func(ctx context.Context, from io.Reader) (err error) {
		header, end, err = backup.Skim(ctx, io.TeeReader(from, to), func(h backup.Header, c backup.Counts) {
			text := counted(c.Entries, "entry", "entries")
			if c.Blobs > 0 {
				text += ", " + counted(c.Blobs, "file", "files")
			}
			b.screen.at(backedUp(h, c), text+"  "+shortSize(count.n))
		})
		return err
	})
	return header, end, err
}

// passing has a source write a backup, and read read it.
func passing(ctx context.Context, source backupSource, read func(context.Context, io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := source.write(ctx, in)
		_ = in.CloseWithError(err) // never fails
		written <- err
	}()
	err := read(ctx, out)
	cancel()
	_ = out.CloseWithError(context.Canceled) // never fails
	if failed := <-written; err != nil && failed != nil && !errors.Is(failed, context.Canceled) {
		err = failed // what the reader saw is only what followed from it
	}
	return err
}

// backedUp is about which part is done.
func backedUp(h backup.Header, c backup.Counts) float64 {
	switch {
	case h.AboutStreams > 0:
		return float64(c.Streams) / float64(h.AboutStreams)
	case h.AboutEntries > 0:
		return float64(c.Entries) / float64(h.AboutEntries)
	}
	return -1
}

func (b *backupRun) tell(sum made, path string) {
	b.screen.done(fmt.Sprintf("%s: %s in %s, %s", path, shortSize(sum.bytes), shortTime(sum.took), b.keys.how()),
		held(sum.end.Counts),
		"Everything that was acknowledged before "+sum.header.Made.Local().Format("2006-01-02 15:04:05")+" is in it.",
		"So are the server's secret keys: keep it as you keep the server.")
	b.warn(sum)
}

// warn says what is not in it.
func (b *backupRun) warn(sum made) {
	if sum.end.Left > 0 {
		b.screen.print("  warning: %s left out.\n", counted(sum.end.Left, "file that people have sent was", "files that people have sent were"))
	}
	if sum.end.Lost > 0 {
		b.screen.print("  warning: %s missing or damaged where the files are, and so in the backup: %s\n", counted(sum.end.Lost, "file is", "files are"), sum.end.LostNames)
	}
}

func held(c backup.Counts) string {
	text := counted(c.Entries, "entry", "entries") + " of " + counted(c.Streams, "stream", "streams") + ", " + counted(c.Rows, "row", "rows") + " beside them"
	if c.Blobs > 0 {
		text += ", " + counted(c.Blobs, "file or thumbnail", "files and thumbnails") + " with " + shortSize(c.BlobBytes)
	}
	return text
}

// explain says what to do about a backup that could not be written.
func (b *backupRun) explain(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("there is no room for the backup in %s: make room, or name a file on another disk. Nothing is left of it: %w", filepath.Dir(path), err)
	case errors.Is(err, context.Canceled):
		return errors.New("stopped; nothing is left of the backup")
	case errors.Is(err, backup.ErrCutOff), errors.Is(err, backup.ErrDamaged), errors.Is(err, errServerStopped):
		return fmt.Errorf("%w. Nothing is left of the backup", errServerStopped)
	case errors.Is(err, backup.ErrBroken):
		return fmt.Errorf("%w. Nothing is left of the backup", err)
	}
	return err
}

// newBackupFile is a file that has its name only when it is whole.
type newBackupFile struct {
	*os.File
	path string
}

// newFile begins a file. What a run that was killed has left of it goes.
func newFile(path string) (*newBackupFile, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("there is a file %s already: name another one", path)
		}
		return nil, err
	}
	f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the file of the backup: %w", err)
	}
	return &newBackupFile{f, path}, nil
}

// finish gives the file its name when it is on the disk. It takes nobody else's.
func (f *newBackupFile) finish() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), f.path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("there is a file %s meanwhile: name another one", f.path)
	} else if err != nil { // a file system without links
		if err := os.Rename(f.Name(), f.path); err != nil {
			return err
		}
	}
	_ = os.Remove(f.Name()) // the name that it had; gone after a rename
	return syncFolder(filepath.Dir(f.path))
}

// drop takes away what is there of it.
func (f *newBackupFile) drop() error {
	_ = f.Close() // it may be closed
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
