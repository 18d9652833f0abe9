package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

// blobsIn returns all files of a folder of files, but for its owner.
func blobsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "owner" {
			return err
		}
		data, err := os.ReadFile(path)
		found[d.Name()] = string(data)
		return err
	}))
	return found
}

// sealDemoSite seals the demo site of a store that no server has open.
func sealDemoSite(t *testing.T, c *config) {
	t.Helper()
	n := startNode(t, *c)
	must(t, n.close(t.Context()))
	c.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	keyCommandSays(t, "made ", "new")
	keyCommandSays(t, "sealed", "seal", "--site", demoSite, "--data", c.Data)
}

// TestBackupOfFiles backs a server up that people send files to, sealed and plain ones,
// tries the backup out, and restores it, once more elsewhere and with tombstones.
func TestBackupOfFiles(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	plain := startNode(t, c)
	s := newFileSender(t, plain)
	files := []*sentFile{s.send("plain.txt", bytes.Repeat([]byte("plain "), 30_000))}
	must(t, plain.close(t.Context()))
	sealDemoSite(t, &c)
	n := startNode(t, c)
	s.n = n
	picture := canaryPicture(t)
	files = append(files, s.send("a.png", picture), s.send("large.txt", bytes.Repeat([]byte("0123456789abcdef"), 160_000)))
	deleted := s.send("deleted.txt", []byte("deleted later"))
	s.upload("under way.txt", []byte("half"))
	if out := succeeds(t, "backup", "--data", c.Data, "--plain", at("b")); !strings.Contains(out, "5 files and thumbnails with") {
		t.Errorf("it says\n%s", out)
	}
	call(t, n, "POST", "/v1/conversations/cnv_1/messages", s.token, "application/json", `{"id":"delete_01","type":"delete","body":{"seq":5}}`, http.StatusCreated, nil)
	newer := s.send("newer.txt", []byte("newer"))
	if out := succeeds(t, "drill", "--data", c.Data, at("b")); !strings.Contains(out, "with 4 files") || !strings.Contains(out, "4 files are the same, 1 newer one is only there") {
		t.Errorf("it says\n%s", out)
	}
	succeeds(t, "backup", "--data", c.Data, "--tombstones", at("tombs"))
	if out := succeeds(t, "restore", "--tombstones", at("tombs"), "--to", "sqlite:"+at("new"), at("b")); !strings.Contains(out, "4 files and thumbnails are in "+at("new/attachments")) || !strings.Contains(out, "1 was deleted since") {
		t.Errorf("it says\n%s", out)
	}
	got, source := blobsIn(t, at("new/attachments")), blobsIn(t, filepath.Join(c.Data, "attachments"))
	for name, data := range got {
		if source[name] != data {
			t.Errorf("%s is another one", name)
		}
	}
	if len(got) != 4 {
		t.Errorf("restored are %d files", len(got))
	}

	// Where the files of the source are, only with consent.
	c.Data, c.Attachments = at("new"), ""
	again := startNode(t, c)
	for _, f := range files {
		s.expect(again, f)
	}
	for _, f := range []*sentFile{deleted, newer} {
		if status, _ := s.fetch(again, "/v1/attachments/"+f.ID+"/file", ""); status != http.StatusNotFound {
			t.Errorf("%s is answered with %d", f.ID, status)
		}
	}
	s.n = again
	s.expect(again, s.send("afterwards.txt", []byte("afterwards")))
	must(t, again.close(t.Context()))
	must(t, n.close(t.Context()))
	there := filepath.Join(n.config.Data, "attachments")
	restore := []string{"restore", "--to", "sqlite:" + at("third"), "--attachments", there, at("b")}
	if _, err := command(t, restore...); err == nil || !strings.Contains(err.Error(), "add --take-over") {
		t.Errorf("without consent: %v", err)
	}
	if out := succeeds(t, append(restore, "--take-over")...); !strings.Contains(out, "PARLEY_ATTACHMENTS="+there) {
		t.Errorf("it says\n%s", out)
	}
	c.Data, c.Attachments = at("third"), there
	third := startNode(t, c)
	for _, f := range append(files, deleted) { // there were no tombstones this time
		s.expect(third, f)
	}
	c.Data = n.config.Data
	if _, err := openNode(t.Context(), c, third.log); err == nil || !strings.Contains(err.Error(), "files of another store") {
		t.Errorf("the source's server starts on files that are not its own any more: %v", err)
	}
}

// TestBackupWithoutItsFiles reads what is said about files that are nowhere.
func TestBackupWithoutItsFiles(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	n := startNode(t, c)
	s := newFileSender(t, n)
	f := s.send("a.txt", []byte("here today"))
	s.send("b.txt", bytes.Repeat([]byte("b"), 100_000))
	if out := succeeds(t, "backup", "--data", c.Data, "--plain", "--attachments", "off", at("without")); !strings.Contains(out, "2 files that people have sent were left out") {
		t.Errorf("it says\n%s", out)
	}
	must(t, n.close(t.Context()))
	succeeds(t, "backup", "--data", c.Data, "--plain", at("with"))
	if out := succeeds(t, "restore", "--to", "sqlite:"+at("off"), "--attachments", "off", at("with")); !strings.Contains(out, "were left out") {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "restore", "--to", "sqlite:"+at("no"), at("without")); !strings.Contains(out, "left out of the backup") {
		t.Errorf("it says\n%s", out)
	}
	files := filepath.Join(c.Data, "attachments")
	found, err := filepath.Glob(filepath.Join(files, "*", demoSite+"."+f.ID+".file"))
	must(t, err)
	must(t, os.WriteFile(found[0], []byte("gone tomorrow"), 0o600))
	if out := succeeds(t, "backup", "--data", c.Data, "--plain", at("damaged")); !strings.Contains(out, "1 file is missing or damaged") || !strings.Contains(out, f.ID) {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "backup", "--data", c.Data, "--plain", "-"); !strings.Contains(out, "1 file is missing or damaged") {
		t.Error("nothing is said beside a backup to a pipe")
	}
	for _, args := range [][]string{{"drill", "--data", c.Data}, {"restore", "--check"}, {"restore", "--to", "sqlite:" + at("lacks")}} {
		if out := succeeds(t, append(args, at("damaged"))...); !strings.Contains(out, "1 file of messages is missing in it") || !strings.Contains(out, f.ID) {
			t.Errorf("%v says\n%s", args, out)
		}
	}
	if _, err := command(t, "drill", "--data", c.Data, at("with")); err == nil || !strings.Contains(err.Error(), "has lost files: 1 file or thumbnail is missing or damaged there") || !strings.Contains(err.Error(), f.ID) {
		t.Errorf("a drill with a backup that has it: %v", err)
	}
	must(t, os.Remove(found[0]))
	if _, err := command(t, "drill", "--data", c.Data, at("with")); err == nil || !strings.Contains(err.Error(), "has lost files: 1 file") {
		t.Errorf("a drill with a backup that has what is gone: %v", err)
	}
	must(t, os.Rename(files, at("files")))
	if _, err := command(t, "backup", "--data", c.Data, "--plain", at("b")); err == nil || !strings.Contains(err.Error(), "say with --attachments where they are") {
		t.Errorf("without their folder: %v", err)
	}
	succeeds(t, "backup", "--data", c.Data, "--attachments", at("files"), "--plain", at("b"))
	must(t, os.WriteFile(at("taken"), nil, 0o600))
	if _, err := command(t, "restore", "--to", "sqlite:"+at("x"), "--attachments", at("taken"), at("b")); err == nil {
		t.Error("files go into a file")
	}
	if _, err := os.Stat(at("b")); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestRestoreOfFilesWithoutRoom restores to a place that has none, and goes on when it has.
func TestRestoreOfFilesWithoutRoom(t *testing.T) {
	c := testConfig(t)
	dir := t.TempDir()
	n := startNode(t, c)
	s := newFileSender(t, n)
	f := s.send("a.txt", bytes.Repeat([]byte("room"), 100_000))
	file, to := filepath.Join(dir, "b"), filepath.Join(dir, "new")
	succeeds(t, "backup", "--data", c.Data, "--plain", file)
	must(t, n.close(t.Context()))
	t.Setenv("PARLEY_ATTACHMENT_RESERVE", fmt.Sprint(int64(1)<<60))
	_, err := command(t, "restore", "--to", "sqlite:"+to, file)
	if err == nil || !strings.Contains(err.Error(), "there is no room for the files") || !strings.Contains(err.Error(), "it goes on") {
		t.Errorf("without room: %v", err)
	}
	c.Data = to
	if n, err := openNode(t.Context(), c, n.log); err == nil {
		t.Error("a server starts on half a store", n.close(t.Context()))
	}
	if len(blobsIn(t, filepath.Join(to, "attachments"))) > 0 {
		t.Error("half a file is there")
	}
	t.Setenv("PARLEY_ATTACHMENT_RESERVE", "0")
	succeeds(t, "restore", "--to", "sqlite:"+to, file)
	again := startNode(t, c)
	s.expect(again, f)
	if again.bridge.Epoch() == n.bridge.Epoch() || parley.ValidID(again.bridge.Epoch()) == false {
		t.Error("it has the epoch of before")
	}
}
