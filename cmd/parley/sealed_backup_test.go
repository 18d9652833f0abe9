package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/internal/fault/database"
)

// saidTo posts messages, which have to be stored.
func saidTo(t *testing.T, n *node, token, conversation string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if status := postMessage(t, n, token, conversation, parley.NewText(id, canary)); status != http.StatusCreated {
			t.Fatalf("%s is answered with %d", id, status)
		}
	}
}

// TestSealedBackup backs a sealed server up, changes its master key, and restores the
// backup: with the keys of its time, and with others.
func TestSealedBackup(t *testing.T) {
	c := sealedConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	saidTo(t, n, token, id, "msg_00001")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	file, to := at("b"), "sqlite:"+at("new")
	succeeds(t, "backup", "--data", c.Data, "--plain", file)
	if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte(canary)) {
		t.Errorf("the text is in the backup, or %v", err)
	}
	was, err := os.ReadFile(c.KeyFile)
	must(t, err)
	keyCommandSays(t, "takes the key up", "rotate", "--new-data-keys", "--data", c.Data)
	until(t, func() string {
		if s := n.seal.Stats(); s.Rotation == 0 {
			return fmt.Sprintf("the server does not take the key up: %+v", s)
		}
		return ""
	})
	saidTo(t, n, token, id, "msg_00002")
	tombs := at("tombstones.jsonl")
	succeeds(t, "backup", "--data", c.Data, "--tombstones", tombs)

	now, err := os.ReadFile(c.KeyFile)
	must(t, err)
	keys, err := seal.ParseKeys(string(now))
	must(t, err)
	other := strings.Fields(seal.NewMasterKey(time.Now(), false).Line())
	for name, text := range map[string]string{
		"no key":                       "",
		"only the key of afterwards":   keys.Newest().Line(),
		"another one with the same id": keys.IDs()[1] + " " + other[1],
	} {
		t.Setenv("PARLEY_KEY_FILE", "")
		t.Setenv("PARLEY_KEY", text)
		want := "needs the master key " + keys.IDs()[1]
		if strings.HasPrefix(name, "another") {
			want = "it has the same id and other bytes"
		}
		for _, args := range [][]string{{"restore", "--to", to, file}, {"drill", "--data", c.Data, file}} {
			if out, err := command(t, args...); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "PARLEY_KEY_FILE") || strings.Contains(err.Error(), other[1]) {
				t.Errorf("%s with %s: %v, want %q\n%s", args[0], name, err, want, out)
			}
		}
		if _, err := os.Lstat(at("new")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with %s something was begun: %v", name, err)
		}
		if out := succeeds(t, "restore", "--check", file); !strings.Contains(out, "cannot be restored with the master keys that are at hand") || !strings.Contains(out, want) {
			t.Errorf("with %s it says\n%s", name, out)
		}
	}
	t.Setenv("PARLEY_KEY", string(was))
	if out := succeeds(t, "restore", "--check", file); !strings.Contains(out, "sealed with the master key "+keys.IDs()[1]+", which is at hand") {
		t.Errorf("with the key of its time it says\n%s", out)
	}
	t.Setenv("PARLEY_KEY", "")
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	if out := succeeds(t, "drill", "--data", c.Data, "--tombstones", tombs, file); !strings.Contains(out, "1 newer entry that the backup does not") ||
		!strings.Contains(out, "2 entries were read from it by REST") || strings.Contains(out, "deleted since:") {
		t.Errorf("the drill says\n%s", out)
	}
	succeeds(t, "restore", "--tombstones", tombs, "--to", to, file)
	c.Data = at("new")
	restored := startNode(t, c)
	if status := postMessage(t, restored, token, id, parley.NewText("msg_00001", canary)); status != http.StatusOK {
		t.Errorf("the repeat is answered with %d", status)
	}
	saidTo(t, restored, token, id, "msg_00002")
	checkFound(t, restored, canary, 2)
	checkNoText(t, dir)
}

// checkNoText fails if the canary is in a file.
func checkNoText(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(canary)) {
			t.Errorf("the text is in %s", path)
		}
		return err
	}))
}

// TestSealedMigration copies a sealed store without its keys, and with them.
func TestSealedMigration(t *testing.T) {
	c := sealedConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	saidTo(t, n, token, id, "msg_00001")
	must(t, n.close(t.Context()))
	to := filepath.Join(t.TempDir(), "copy")
	t.Setenv("PARLEY_KEY_FILE", "")
	if out, err := migrate(t, "--from", "sqlite:"+c.Data, "--to", "sqlite:"+to); err == nil || !strings.Contains(err.Error(), "needs the master key") {
		t.Errorf("without keys: %v\n%s", err, out)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was begun: %v", err)
	}
	t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
	if out, err := migrate(t, "--from", "sqlite:"+c.Data, "--to", "sqlite:"+to); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.Data = to
	n = startNode(t, c)
	if status := postMessage(t, n, token, id, parley.NewText("msg_00001", canary)); status != http.StatusOK {
		t.Errorf("the repeat is answered with %d", status)
	}
	checkFound(t, n, canary, 1)
}

// TestKeptSealed seals what old Parleys have left, backs it up, and restores that into an
// embedded store: all that they had answered is there.
func TestKeptSealed(t *testing.T) {
	binary, err := database.Build(t.Context(), t.TempDir())
	must(t, err)
	for _, name := range []string{"sqlite-1", "sqlite-8", "mongo-1"} {
		t.Run(name, func(t *testing.T) {
			k, c := unpackKept(t, name), testConfig(t)
			if strings.HasPrefix(name, "mongo") {
				d, err := database.New(t.Context(), binary, k.dir)
				must(t, err)
				must(t, d.Start(t.Context()))
				t.Cleanup(d.Kill)
				c = databaseConfig(t, d.URI("kept"))
			} else {
				c.Data = k.dir
			}
			c.KeyFile = filepath.Join(t.TempDir(), "keys")
			t.Setenv("PARLEY_KEY_FILE", c.KeyFile)
			keyCommandSays(t, "made ", "new")
			must(t, (&keyCommand{config: c, all: true}).seal(t.Context()))
			n := startNode(t, c)
			k.check(t, n, signIn(t, n))
			token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
			saidTo(t, n, token, id, "msg_00001")
			file, to := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "new")
			b := backupRun{stored: c, keys: backupKeys{plain: true}, screen: newProgress(io.Discard), out: io.Discard, log: slog.New(slog.DiscardHandler)}
			must(t, b.run(t.Context(), file))
			must(t, n.close(t.Context()))
			succeeds(t, "restore", "--to", "sqlite:"+to, file)
			into := testConfig(t)
			into.Data, into.KeyFile = to, c.KeyFile
			n = startNode(t, into)
			for _, entries := range k.said.Streams { // of which the numbering is another one now
				for _, e := range entries {
					e["epoch"] = n.bridge.Epoch()
				}
			}
			k.check(t, n, signIn(t, n))
			if status := postMessage(t, n, token, id, parley.NewText("msg_00001", canary)); status != http.StatusOK {
				t.Errorf("the repeat is answered with %d", status)
			}
		})
	}
}
