package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// killedAfter runs parley as a process and kills it after a while. It reports whether
// it had come to its end by then.
func killedAfter(t *testing.T, wait time.Duration, args ...string) (ended bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	kill := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	kill.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		t.Fatalf("parley %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return err == nil
}

// howLong returns how long a command takes.
func howLong(t *testing.T, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	if !killedAfter(t, time.Hour, args...) {
		t.Fatal("it was killed")
	}
	return time.Since(began)
}

// TestBackupKilled kills backups of a server that goes on: a file with the name of the
// backup is a whole one, and what was killed is no hindrance.
func TestBackupKilled(t *testing.T) {
	store, dir := filled(t, 20_000), t.TempDir()
	c := testConfig(t)
	c.Data = store
	startNode(t, c)
	took := howLong(t, "backup", "--data", store, "--plain", filepath.Join(dir, "first"))
	file, killed := filepath.Join(dir, "b"), 0
	for range 12 {
		if !killedAfter(t, rand.N(took), "backup", "--data", store, "--plain", file) {
			killed++
		}
		switch _, err := os.Lstat(file); {
		case err == nil:
			succeeds(t, "restore", "--check", file)
			must(t, os.Remove(file))
		case !errors.Is(err, fs.ErrNotExist):
			t.Fatal(err)
		}
	}
	succeeds(t, "backup", "--data", store, "--plain", file)
	succeeds(t, "drill", "--data", store, file)
	if _, err := os.Lstat(file + ".partial"); !errors.Is(err, fs.ErrNotExist) || killed < 3 {
		t.Errorf("%d were killed; what is left: %v", killed, err)
	}
}

// TestServerStopsMeanwhile stops the server that makes a backup.
func TestServerStopsMeanwhile(t *testing.T) {
	c := testConfig(t)
	c.Data = filled(t, 20_000)
	n := startNode(t, c)
	file := filepath.Join(t.TempDir(), "b")
	ended := make(chan error, 1)
	go func() {
		_, err := command(t, "backup", "--data", c.Data, "--plain", file)
		ended <- err
	}()
	until(t, func() string {
		if info, err := os.Stat(file + ".partial"); err != nil || info.Size() == 0 {
			return "no backup is being made"
		}
		return ""
	})
	must(t, n.close(t.Context()))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped") || !strings.Contains(err.Error(), "Nothing is left of the backup") {
		t.Errorf("it says %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestRestoreKilled kills a restore again and again. No server opens what it leaves,
// until it has come to its end.
func TestRestoreKilled(t *testing.T) {
	store, dir := filled(t, 20_000), t.TempDir()
	file, to := filepath.Join(dir, "b"), filepath.Join(dir, "new")
	succeeds(t, "backup", "--data", store, "--plain", file)
	took := howLong(t, "restore", "--to", "sqlite:"+filepath.Join(dir, "first"), file)
	goes := []string{"restore", "--to", "sqlite:" + to, file}
	for round := range 40 {
		if killedAfter(t, rand.N(took), goes...) {
			break
		}
		if _, err := os.Stat(filepath.Join(to, "parley.db")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: to})
		if err == nil { // killed behind its end
			must(t, s.Close())
			break
		}
		if !strings.Contains(err.Error(), "was not finished: run the same parley migrate or parley restore again") {
			t.Fatal(err)
		}
		if round == 39 {
			succeeds(t, goes...)
		}
	}
	sameStores(t, store, to)
}

// smallDisk mounts a file system of that many bytes, and returns what makes it larger.
func smallDisk(t *testing.T, size int) (dir string, grow func(size int)) {
	t.Helper()
	dir = t.TempDir()
	mount := func(flags uintptr, size int) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
			t.Fatalf("mount a small tmpfs on %s: %v; this test needs root, or: unshare --user --map-root-user --mount go test ./cmd/parley", dir, err)
		}
	}
	mount(0, size)
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir, func(size int) { mount(syscall.MS_REMOUNT, size) }
}

// TestBackupDiskFull has no room for a backup, then none for its restore.
func TestBackupDiskFull(t *testing.T) {
	store := filled(t, 20_000)
	disk, grow := smallDisk(t, 256<<10)
	file := filepath.Join(disk, "b")
	_, err := command(t, "backup", "--data", store, "--plain", file)
	if err == nil || !strings.Contains(err.Error(), "there is no room for the backup in "+disk) {
		t.Errorf("without room: %v", err)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	grow(6 << 20)
	succeeds(t, "backup", "--data", store, "--plain", file)
	to := filepath.Join(disk, "new")
	_, err = command(t, "restore", "--to", "sqlite:"+to, file)
	if err == nil || !strings.Contains(err.Error(), "run the same restore again, it goes on") {
		t.Errorf("without room for the store: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Dir: to}); err == nil {
		t.Error("half a store opens")
	}
	if _, err := command(t, "drill", "--data", store, "--in", disk, file); err == nil || !strings.Contains(err.Error(), "no room for the drill in "+disk) {
		t.Errorf("without room for a drill: %v", err)
	}
	grow(256 << 20)
	succeeds(t, "restore", "--to", "sqlite:"+to, file)
	sameStores(t, store, to)
}

// TestBackupOfAFullDisk asks a server for a backup whose disk takes nothing: it says so,
// and does when there is room.
func TestBackupOfAFullDisk(t *testing.T) {
	disk, grow := smallDisk(t, 16<<20)
	c := testConfig(t)
	c.Data = filepath.Join(disk, "data")
	n := startNode(t, c)
	token, id, dir := visit(t, n), parley.NewID(parley.PrefixConversation), t.TempDir()
	send := func(i int) int {
		return postMessage(t, n, token, id, parley.NewText(fmt.Sprintf("msg_%05d", i), strings.Repeat("x", 10_000)))
	}
	if status := send(0); status != http.StatusCreated {
		t.Fatalf("the first is answered with %d", status)
	}
	if err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 16<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for i := 1; i < 100 && send(i) == http.StatusCreated; i++ { // as far as its journal goes
	}
	tombstones := filepath.Join(dir, "tombstones")
	for _, args := range [][]string{{"--plain", filepath.Join(dir, "b")}, {"--tombstones", tombstones}} {
		if _, err := command(t, append([]string{"backup", "--data", c.Data}, args...)...); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%v: %v", args, err)
		}
	}
	grow(256 << 20)
	for range 600 {
		if n.store.Ready(t.Context()) == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	succeeds(t, "backup", "--data", c.Data, "--plain", filepath.Join(dir, "b"))
	succeeds(t, "backup", "--data", c.Data, "--tombstones", tombstones)
}
