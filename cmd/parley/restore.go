package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/mongo"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func newRestore() *cobra.Command {
	r := restoreRun{stored: defaultConfig(), probe: probeStore}
	var environment error
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a new store of a backup",
		Long: `Make a new store of what a backup holds: an embedded one or a database, whichever
the backup is of. First the whole file is proven to be sound, so that nothing is
begun that cannot be finished; then it is copied, and compared entry by entry.

Sites that are sealed stay so: PARLEY_KEY_FILE names the file with the master keys of
when the backup was made, which are not in it.

The files that people have sent are put where --attachments says, or
PARLEY_ATTACHMENTS, byte by byte as they were, and the new store owns that place. If
it is the one of the store that the backup was made of, and that store is gone for
good, --take-over makes the new one its owner.

The store must be new. It gets another epoch, so that every device fetches its
conversations anew. A restore that was broken off leaves a store that no server
opens: run it again, and it goes on. One that was finished is not made twice.

What was deleted after the backup was made comes back, unless --tombstones names
the file that parley backup --tombstones has kept. With it, it does not.

With --check nothing is written: the file is read to its end, and proven.`,
		Example: `  parley restore -i parley.key --check backup.age
  parley restore -i parley.key --tombstones tombstones.jsonl --to sqlite:./new backup.age
  PARLEY_BACKUP_PASSPHRASE_FILE=pass parley restore --to mongodb://localhost/new backup.age`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if environment != nil {
				return environment
			}
			r.path, r.screen = args[0], newProgress(cmd.ErrOrStderr())
			r.log = slog.New(slog.DiscardHandler) // what goes wrong is said once, at the end
			return r.run(cmd.Context())
		},
	}
	environment = errors.Join(r.stored.readEnvironment(), r.keys.readEnvironment())
	f := cmd.Flags()
	f.StringVar(&r.to, "to", "", "the new store, sqlite:FOLDER or mongodb://… (PARLEY_STORE)")
	f.StringVar(&r.toFile, "to-file", "", "a file that holds what --to would say (PARLEY_STORE_FILE)")
	f.StringVar(&r.tombstones, "tombstones", "", "a file of what was deleted, and must not come back")
	r.stored.bindAttachments(f)
	f.BoolVar(&r.takeOver, "take-over", false, "put files where those of the store are that the backup was made of: no server uses it any more")
	f.BoolVar(&r.checkOnly, "check", false, "only prove that the backup is whole and can be opened")
	bindKey(f, &r.keys)
	return cmd
}

// restoreRun is one run of parley restore.
type restoreRun struct {
	stored     config
	keys       backupKeys
	path       string
	to, toFile string
	tombstones string
	checkOnly  bool
	takeOver   bool
	probe      bool
	placed     string        // what became of files
	patience   time.Duration // with a store that does not answer; 0 is mirror's

	screen *progress
	log    *slog.Logger
}

func (r *restoreRun) run(ctx context.Context) error {
	at, err := r.target()
	if err != nil && !r.checkOnly {
		return err
	}
	proven, err := r.prove(ctx)
	if err != nil {
		return err
	}
	about := fmt.Sprintf("made %s by Parley %s from %s", proven.header.Made.Local().Format("2006-01-02 15:04:05"), proven.header.Parley, proven.header.Store)
	masters, sealed := r.sealedWith(ctx, proven)
	if sealed != nil && !errors.Is(sealed, seal.ErrKeys) {
		return sealed
	}
	if r.checkOnly {
		r.screen.done(r.path+" is whole", append([]string{held(proven.end.Counts), about, proven.left(), saidOfKeys(masters, sealed)}, proven.missing()...)...)
		return nil
	}
	if sealed != nil {
		return fmt.Errorf("%s: %w\nNothing was written", r.path, sealed)
	}
	if err := r.checkPlace(at, proven); err != nil {
		return err
	}
	began := time.Now()
	err = r.restore(ctx, at, proven)
	if errors.Is(err, sqlite.ErrFilled) || errors.Is(err, mongo.ErrFilled) {
		return r.again(ctx, at, about)
	}
	if err != nil {
		return r.explain(err, at)
	}
	start := "PARLEY_STORE=" + at.String()
	if where := r.stored.attachmentFolder(at); where != "" && r.stored.Attachments != "" {
		start += " PARLEY_ATTACHMENTS=" + where
	}
	r.screen.done(fmt.Sprintf("%s holds what %s holds, restored and compared in %s", at, r.path, shortTime(time.Since(began))),
		held(proven.end.Counts), about, proven.left(), r.placed,
		"Start the server with "+start+". Devices fetch everything anew, by themselves.",
		"Logins that were ended after the backup was made are in force again: end them again.")
	return nil
}

// again ends a run for which an earlier one has left nothing but its last step.
func (r *restoreRun) again(ctx context.Context, at location, about string) error {
	if at.folder != "" { // nobody else has it open
		if err := r.bringUpToDate(ctx, at); err != nil {
			return r.explain(err, at)
		}
	}
	r.screen.done(fmt.Sprintf("this backup is already restored in %s, by an earlier run", at), about,
		"Nothing of the backup was written again: what was sent or deleted there since stays so.",
		"To have it as it was in the backup, restore to a store that does not exist.")
	return nil
}

// target returns where the new store is.
func (r *restoreRun) target() (location, error) {
	named := namedStore{text: r.to, file: r.toFile, name: "--to", fileName: "--to-file"}
	at, err := named.location()
	if err != nil || at != (location{}) {
		return at, err
	}
	return r.stored.location()
}

// sealedWith returns the ids of the master keys that the backup's data keys are wrapped
// with. It fails with seal.ErrKeys if no server could read what is restored.
func (r *restoreRun) sealedWith(ctx context.Context, p *proven) ([]string, error) {
	file, err := r.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	contents, err := backup.Open(file, p.header.Epoch, p.gone)
	if err != nil {
		return nil, r.explainFile(err)
	}
	return r.stored.keySettings().check(ctx, keysIn{contents})
}

// keysIn reads the data keys in a backup: its first stream, if it has any.
type keysIn struct{ contents *backup.Contents }

// Read returns entries of the stream; none if there is no such one.
func (k keysIn) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	if first, err := k.contents.Streams(ctx, "", 1); err != nil || len(first) == 0 || first[0].Stream != stream {
		return nil, err
	}
	return k.contents.Read(ctx, stream, after, limit)
}

// saidOfKeys tells what it takes to read what is sealed in a backup.
func saidOfKeys(masters []string, missing error) string {
	switch {
	case len(masters) == 0 && missing == nil:
		return "No site in it is sealed: it takes no master key."
	case missing == nil:
		return "Sites in it are sealed with the master key " + strings.Join(masters, ", ") + ", which is at hand."
	}
	return "It cannot be restored with the master keys that are at hand: " + missing.Error()
}

// proven is a backup that has been read to its end.
type proven struct {
	header backup.Header
	end    backup.End
	gone   *backup.Gone
	origin string // what it is, and what of it does not come back
}

func (p *proven) left() string {
	if p.gone.Entries == 0 {
		return "Nothing of it was deleted since, as far as is told."
	}
	return counted(p.gone.Entries, "entry has", "entries have") + " been left empty, because of what was deleted since."
}

// prove reads the backup to its end.
func (r *restoreRun) prove(ctx context.Context) (*proven, error) {
	tombs, err := readTombstones(r.tombstones)
	if err != nil {
		return nil, err
	}
	file, err := r.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	r.screen.begin("checking " + r.path)
	p := &proven{}
	p.header, p.end, p.gone, err = backup.Check(ctx, file, tombs, func(_ backup.Header, c backup.Counts) {
		r.screen.at(file.part(), counted(c.Entries, "entry", "entries"))
	})
	r.screen.clear()
	if err != nil {
		return nil, r.explainFile(err)
	}
	p.origin = p.end.SHA256 + " " + tombs.Digest()
	return p, nil
}

// restore makes the new store.
func (r *restoreRun) restore(ctx context.Context, at location, p *proven) (err error) {
	if at.folder != "" {
		r.patience = time.Second // a disk of this machine that is full stays full
	}
	target, err := at.openToFillAnew(ctx, p.origin, r.probe, r.log)
	if err != nil {
		return err
	}
	err = r.fill(ctx, at, target, p)
	if err := errors.Join(err, target.Close()); err != nil {
		return err
	}
	return r.bringUpToDate(ctx, at)
}

// bringUpToDate is the last step, which a server would take as well.
func (r *restoreRun) bringUpToDate(ctx context.Context, at location) error {
	r.screen.begin("bringing lists up to date")
	defer r.screen.clear()
	if err := settle(ctx, at, r.stored.keySettings(), r.log); err != nil {
		return fmt.Errorf("the store is complete and can be used, but what lists show was not brought up to date; a server that is started on it does that: %w", err)
	}
	return nil
}

func (r *restoreRun) fill(ctx context.Context, at location, target newStore, p *proven) error {
	epoch := target.Epoch()
	to, err := r.place(ctx, at, epoch, p)
	if err != nil {
		return err
	}
	err = r.goThrough(ctx, "restoring to "+at.String(), p, epoch, func(from *backup.Contents, o mirror.Options) error {
		_, err := mirror.Copy(ctx, from, target, o)
		return err
	})
	if err != nil {
		return err
	}
	err = r.goThrough(ctx, "comparing", p, epoch, func(from *backup.Contents, o mirror.Options) error {
		o.Names = [2]string{"the backup", "the store"}
		_, err := mirror.Compare(ctx, from, target, o)
		return err
	})
	if err == nil {
		err = r.putFiles(ctx, at, to, p)
	}
	if err != nil {
		return err
	}
	return target.Finish(ctx)
}

// goThrough reads the backup once more, from its beginning.
func (r *restoreRun) goThrough(ctx context.Context, text string, p *proven, epoch string, do func(*backup.Contents, mirror.Options) error) error {
	file, err := r.open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	contents, err := backup.Open(file, epoch, p.gone)
	if err != nil {
		return r.explainFile(err)
	}
	r.screen.begin(text)
	defer r.screen.clear()
	return do(contents, mirror.Options{Patience: r.patience, Tell: func(done mirror.Progress) {
		if done.Trouble != nil {
			if r.patience == 0 { // otherwise it soon gives up, and says why
				r.screen.wait(done.Trouble)
			}
			return
		}
		all := p.end.Entries + p.end.Rows
		r.screen.at(float64(done.Entries+done.Rows)/float64(max(all, 1)), counted(done.Entries, "entry", "entries"))
	}})
}

// openedBackup is the inside of a file, which tells how much of the file is read.
type openedBackup struct {
	io.Reader
	file *os.File
	size int64
}

func (o *openedBackup) Close() error { return o.file.Close() }

// part is which part of the file has been read; below 0 if it has no size.
func (o *openedBackup) part() float64 {
	at, err := o.file.Seek(0, io.SeekCurrent)
	if err != nil || o.size == 0 {
		return -1
	}
	return float64(at) / float64(o.size)
}

// open opens the file, and decrypts it.
func (r *restoreRun) open() (*openedBackup, error) {
	key, err := r.keys.key()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file: a backup is read several times, so save it first", r.path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	inside, _, err := key.Open(file)
	if err != nil {
		return nil, errors.Join(r.explainFile(err), file.Close())
	}
	return &openedBackup{inside, file, info.Size()}, nil
}

// explainFile says what to do about a file that cannot be restored.
func (r *restoreRun) explainFile(err error) error {
	what := ""
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("stopped")
	case errors.Is(err, backup.ErrNoKey):
		what = ": give it with -i FILE, or name the file of its passphrase in PARLEY_BACKUP_PASSPHRASE_FILE"
	case errors.Is(err, backup.ErrWrongKey):
		what = ": it is another recipient's, or another passphrase"
	case errors.Is(err, backup.ErrForeign):
		what = "; parley backup makes one"
	}
	return fmt.Errorf("%s: %w%s", r.path, err, what)
}

// explain says what to do about a restore that was broken off.
func (r *restoreRun) explain(err error, at location) error {
	var differ *mirror.Differences
	var full *noRoom
	remove := "delete the folder " + at.folder
	if at.uri != "" {
		remove = "drop the database " + at.String()
	}
	switch {
	case errors.As(err, &differ):
		return fmt.Errorf("%w. No server can open %s: %s, and restore again", err, at, remove)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped. No server can open %s yet: run the same restore again, it goes on; or %s", at, remove)
	case errors.As(err, &full):
		return fmt.Errorf("%w. No server can open %s yet: make room, and run the same restore again, it goes on; or %s", err, at, remove)
	case errors.Is(err, sqlite.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("there is no room for the store in %s, which no server can open yet: make room, and run the same restore again, it goes on; or %s", at, remove)
	case mirror.Passes(err):
		return fmt.Errorf("%s: %w. No server can open it yet: when that is put right, run the same restore again, it goes on", at, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: run this as the user that the server runs as", at, err)
	}
	return fmt.Errorf("%s: %w", at, err)
}
