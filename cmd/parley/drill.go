package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/backup"
	"github.com/parley-chat/parley/bridge/sqlite"
)

func newDrill() *cobra.Command {
	d := drill{backupRun: backupRun{stored: defaultConfig()}}
	var environment error
	cmd := &cobra.Command{
		Use:   "drill FILE",
		Short: "Try a backup out: restore it, compare it, start a server on it",
		Long: `Restore a backup into a temporary folder, compare every stream with the store that
it was made of (a server may be using that), start a server on it, read from it by
REST, and remove it all. Tells how long that took (RTO), and how much newer the
store is than the backup (RPO). A backup that was never restored is a hope.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if environment != nil {
				return environment
			}
			d.path, d.screen, d.out = args[0], newProgress(cmd.ErrOrStderr()), cmd.OutOrStdout()
			d.log = slog.New(slog.DiscardHandler) // what goes wrong is said once, at the end
			return d.run(cmd.Context())
		},
	}
	environment = errors.Join(d.stored.readEnvironment(), d.keys.readEnvironment())
	f := cmd.Flags()
	d.stored.bindStore(f)
	d.stored.bindAttachments(f)
	bindKey(f, &d.keys)
	f.StringVar(&d.tombstones, "tombstones", "", "a file of what was deleted, and must not come back")
	f.BoolVar(&d.alone, "alone", false, "compare with the backup only: the store that it was made of is not here")
	f.StringVar(&d.temporary, "in", "", "where the temporary folder is made; it takes as much room as the store")
	return cmd
}

// drill is one run of parley drill.
type drill struct {
	backupRun
	path      string
	temporary string
	alone     bool
}

func (d *drill) run(ctx context.Context) (err error) {
	folder, err := os.MkdirTemp(d.temporary, "parley-drill-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	began := time.Now()
	at := location{folder: filepath.Join(folder, "data")}
	stored := d.stored
	stored.Attachments = filepath.Join(folder, "files")
	r := &restoreRun{stored: stored, keys: d.keys, path: d.path, tombstones: d.tombstones, screen: d.screen, log: d.log}
	p, err := r.prove(ctx)
	if err != nil {
		return err
	}
	if _, err := r.sealedWith(ctx, p); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	err = r.restore(ctx, at, p)
	var full *noRoom
	if errors.Is(err, sqlite.ErrNoSpace) || errors.Is(err, syscall.ENOSPC) || errors.As(err, &full) {
		return fmt.Errorf("there is no room for the drill in %s: it takes as much as the store; name another folder with --in", filepath.Dir(folder))
	}
	if err != nil {
		return fmt.Errorf("restore the backup: %w", err)
	}
	d.screen.done("restored "+held(p.end.Counts)+", the same as in the backup", p.left())
	recovery := time.Since(began)
	var lag backup.Lag
	if !d.alone { // before a server writes there: one with a newer master key does
		if lag, err = d.compare(ctx, at, stored.Attachments, p); err != nil {
			return err
		}
		d.screen.done(fmt.Sprintf("compared with the store: %s of %s are the same", counted(lag.Same, "entry", "entries"), counted(lag.Streams, "stream", "streams")))
		if lag.SameFiles+lag.NewerFiles > 0 {
			d.screen.done(fmt.Sprintf("compared with where its files are: %s the same, %s only there", counted(lag.SameFiles, "file is", "files are"), counted(lag.NewerFiles, "newer one is", "newer ones are")))
		}
	}
	starts := time.Now()
	read, ready, err := d.serve(ctx, at, stored.Attachments)
	if err != nil {
		return fmt.Errorf("start a server on the restored store: %w", err)
	}
	d.screen.done("a server has started on it, and " + counted(read.entries, "entry was", "entries were") + " read from it by REST" + read.text())
	d.report(p, lag, recovery+ready.Sub(starts))
	for _, line := range p.missing() {
		d.screen.print("  warning: %s\n", line)
	}
	return nil
}

func (d *drill) report(p *proven, lag backup.Lag, recovery time.Duration) {
	took := "RTO " + shortTime(recovery) + ", from the file to a server that answers"
	if d.alone {
		d.screen.done(took)
		return
	}
	behind := "the store has nothing newer"
	if lag.Newer > 0 {
		behind = fmt.Sprintf("the store has %s that the backup does not, the oldest from %s", counted(lag.Newer, "newer entry", "newer entries"), time.UnixMilli(lag.Oldest).Local().Format("2006-01-02 15:04:05"))
	}
	d.screen.done(took,
		fmt.Sprintf("RPO %s: the backup is so old. Nothing that was acknowledged before it is missing; %s.", shortTime(time.Since(p.header.Made)), behind))
	if lag.Emptied > 0 {
		d.screen.print("  %s deleted since: restore with --tombstones, so that they do not come back.\n", counted(lag.Emptied, "entry was", "entries were"))
	}
}

// compare reads the source once more, and the restored store beside it.
func (d *drill) compare(ctx context.Context, at location, files string, p *proven) (lag backup.Lag, err error) {
	source, from, err := d.open(ctx)
	if err != nil {
		return lag, fmt.Errorf("%s: %w (with --alone, it is not needed)", from, err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if source.Epoch() != p.header.Epoch {
		return lag, fmt.Errorf("the backup was not made of %s: its epoch is %s, not %s. Name the store with --store, or use --alone", from, p.header.Epoch, source.Epoch())
	}
	restored, err := at.openToRead(ctx, false, d.log)
	if err != nil {
		return lag, err
	}
	defer func() { err = errors.Join(err, restored.Close()) }()
	blobs, err := d.stored.openBlobs(files, restored.Epoch(), "")
	if err != nil {
		return lag, err
	}
	d.screen.begin("comparing with " + from.String())
	err = passing(ctx, source, func(ctx context.Context, now io.Reader) (err error) {
		lag, err = backup.Behind(ctx, restored, blobs, now, p.end.Position)
		return err
	})
	if err == nil && lag.LostFiles > p.end.Lost+p.end.Left {
		err = fmt.Errorf("%s of the source, and of the backup's time, missing in the restored store", counted(lag.LostFiles, "file is", "files are"))
	}
	if err == nil && lag.GoneFiles > 0 {
		err = fmt.Errorf("%s has lost files: %s missing or damaged there that the backup has whole, the first is %s. Keep this backup, and put them back from a restore of it", from, counted(lag.GoneFiles, "file or thumbnail is", "files and thumbnails are"), lag.GoneName)
	}
	return lag, err
}

// served is how many conversations are read from the restored server.
const served = 25

// readByREST is what was read.
type readByREST struct{ entries, files int64 }

func (r readByREST) text() string {
	if r.files == 0 {
		return ""
	}
	return ", with " + counted(r.files, "file", "files")
}

// serve starts a server on the restored store, and reads from it as a client does.
func (d *drill) serve(ctx context.Context, at location, files string) (read readByREST, ready time.Time, err error) {
	d.screen.begin("starting a server on it")
	c := defaultConfig()
	c.Data, c.HTTP, c.MQTT, c.Metrics = at.folder, "127.0.0.1:0", "127.0.0.1:0", "off"
	c.Key, c.KeyFile, c.Attachments = d.stored.Key, d.stored.KeyFile, files
	n, err := openNode(ctx, c, d.log)
	if err != nil {
		return read, ready, err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTime)
		defer cancel()
		err = errors.Join(err, n.close(stop))
	}()
	if err := n.ask(ctx, "/readyz", "", nil); err != nil {
		return read, ready, err
	}
	ready = time.Now()
	rows, err := n.store.(bridge.Portable).Rows(ctx, bridge.RowConversation, "", served)
	if err != nil {
		return read, ready, err
	}
	for i := range rows {
		parts := bridge.RowKeyParts(rows[i].Key, 2)
		if !parley.ValidID(parts[0]) { // a row of notes
			continue
		}
		entries, err := n.readBack(ctx, parts[0], parts[1])
		if err != nil {
			return read, ready, fmt.Errorf("conversation %s: %w", parts[1], err)
		}
		read.entries += entries
	}
	read.files, err = n.readFiles(ctx)
	return read, ready, err
}

// readBack reads the beginning of a conversation by REST, and compares it with the log.
func (n *node) readBack(ctx context.Context, site, conversation string) (int64, error) {
	token, err := n.access.Vouch(parley.Identity{Site: site, User: "agt_drill", Device: "dev_drill", Role: parley.RoleSupervisor})
	if err != nil {
		return 0, err
	}
	var page struct {
		Epoch   string
		First   int64
		Entries []struct {
			Seq int64
			ID  string
		}
	}
	if err := n.ask(ctx, "/v1/conversations/"+conversation+"/messages?after=0&limit=200", token, &page); err != nil {
		return 0, err
	}
	entries, err := n.store.Read(ctx, parley.MessagesOf(site, conversation), max(page.First, 1)-1, 200)
	if err != nil {
		return 0, err
	}
	if page.Epoch != n.store.Epoch() || len(entries) != len(page.Entries) {
		return 0, fmt.Errorf("REST shows %d entries, the store has %d", len(page.Entries), len(entries))
	}
	for i := range entries {
		if entries[i].Seq != page.Entries[i].Seq || entries[i].ID != page.Entries[i].ID {
			return 0, fmt.Errorf("REST shows another entry %d", entries[i].Seq)
		}
	}
	return int64(len(entries)), nil
}

// ask gets something of the node's own REST API.
func (n *node) ask(ctx context.Context, path, token string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.httpAddr.String()+path, nil)
	if err != nil {
		return err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered with %s", path, answer.Status)
	}
	switch into := into.(type) {
	case nil:
		return nil
	case io.Writer:
		_, err := io.Copy(into, answer.Body)
		return err
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// readFiles reads the first files by REST, and compares them with their sums.
func (n *node) readFiles(ctx context.Context) (read int64, err error) {
	list, err := n.seal.Attachments(ctx, bridge.AttachmentQuery{States: []parley.AttachmentState{parley.AttachmentSent, parley.AttachmentClaimed}, Limit: served})
	if err != nil {
		return 0, err
	}
	for _, a := range list {
		if a.Seq == 0 { // its message may not be there
			continue
		}
		token, err := n.access.Vouch(parley.Identity{Site: a.Site, User: "agt_drill", Device: "dev_drill", Role: parley.RoleSupervisor})
		if err != nil {
			return read, err
		}
		sum := sha256.New()
		if err := n.ask(ctx, "/v1/attachments/"+a.ID+"/file", token, sum); err != nil {
			if n.lacks(ctx, a) {
				continue // so does the backup: it says how many
			}
			return read, err
		}
		if a.Sum != "" && a.Sum != hex.EncodeToString(sum.Sum(nil)) {
			return read, fmt.Errorf("REST shows another file %s", a.ID)
		}
		read++
	}
	return read, nil
}

// lacks reports whether the bytes of an attachment are missing.
func (n *node) lacks(ctx context.Context, a parley.Attachment) bool {
	f, _, err := n.seal.Files(n.blobs).Open(ctx, a.FileBlob())
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}
