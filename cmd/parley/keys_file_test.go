//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/seal"
)

// newKeyFile makes a key file and names it to commands, in the same breath as a store that
// there is not.
func newKeyFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	must(t, makeKeyFile(file, seal.NewMasterKey(time.Now(), false)))
	t.Setenv("PARLEY_KEY_FILE", file)
	t.Setenv("PARLEY_DATA", filepath.Join(t.TempDir(), "nowhere"))
	return file
}

func checkKeys(t *testing.T, file string, want int) {
	t.Helper()
	keys, _, err := readKeyFile(file)
	if err != nil || len(keys.IDs()) != want {
		t.Errorf("%s has the keys %s, want %d: %v", file, keys, want, err)
	}
	if _, err := os.Lstat(file + ".new"); err == nil {
		t.Errorf("%s.new is left", file)
	}
}

// TestRotateKeepsTheOwner rotates the key file of another user as root, as far as this is
// root: the server's user has to read it afterwards. Its group and mode are kept, too.
func TestRotateKeepsTheOwner(t *testing.T) {
	file := newKeyFile(t)
	want := [3]uint32{uint32(os.Getuid()), uint32(os.Getgid()), 0o440}
	if os.Getuid() == 0 {
		want[0], want[1] = 65532, 65533
	}
	must(t, os.Chown(file, int(want[0]), int(want[1])))
	must(t, os.Chmod(file, os.FileMode(want[2])))
	out := keyCommandSays(t, "begins with the new master key", "rotate")
	if !strings.Contains(out, "there is no store in") {
		t.Errorf("it does not say why the data keys are as they are:\n%s", out)
	}
	checkKeys(t, file, 2)
	info, err := os.Stat(file)
	must(t, err)
	is := info.Sys().(*syscall.Stat_t)
	if got := [3]uint32{is.Uid, is.Gid, uint32(info.Mode().Perm())}; got != want {
		t.Errorf("owner, group and mode are %v, want %v", got, want)
	}
}

// TestRotateFollowsLinks rotates by the name of a link.
func TestRotateFollowsLinks(t *testing.T) {
	file := newKeyFile(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(file, link))
	keyCommandSays(t, "begins with the new master key", "rotate", "--key-file", link)
	checkKeys(t, file, 2)
	if to, err := os.Readlink(link); err != nil || to != file {
		t.Errorf("the link is to %q: %v", to, err)
	}
}

// TestRotateAfterACrash finds what a command left that was killed, and then one that lives.
func TestRotateAfterACrash(t *testing.T) {
	file := newKeyFile(t)
	must(t, os.WriteFile(file+".new", []byte(strings.Repeat("half of a longer text\n", 100)), 0o600))
	keyCommandSays(t, "begins with the new master key", "rotate")
	checkKeys(t, file, 2)
	f, err := lockFile(file + ".new")
	must(t, err)
	if out, err := runKey(t, "rotate"); err == nil || !strings.Contains(err.Error(), "another command is writing") {
		t.Errorf("two at once: %v\n%s", err, out)
	}
	must(t, dropLocked(f))
	checkKeys(t, file, 2)
}
