package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// smallDisk mounts a file system of size bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		t.Fatalf("mount a small tmpfs on %s: %v; this test needs root, or: unshare --user --map-root-user --mount go test ./bridge/sqlite", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// TestDiskFull fills the disk, finds that nothing refused can be seen and that
// reads go on, frees space and sends again.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 8<<20)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(disk, "data"))
	defer func() { _ = s.Close() }()
	var watched int
	s.Watch(func(entries []parley.Entry) { watched += len(entries) })

	stream := parley.Stream("ste_a/c/cnv_a/messages")
	send := func(i int) error {
		e := message("vis_a", fmt.Sprintf("msg_%04d", i), strings.Repeat("满", 20<<10))
		_, err := s.Append(t.Context(), stream, []parley.Entry{e}, parley.ExpectAny)
		return err
	}
	stored, err := 0, error(nil)
	for ; stored < 1000; stored++ {
		if err = send(stored); err != nil {
			break
		}
	}
	checkTemporary(t, err)
	for i := range 20 { // a full disk stays full
		checkTemporary(t, send(stored))
		if i%2 == 0 { // what is small may still fit
			_, _ = s.Append(t.Context(), "ste_a/c/cnv_b/messages", []parley.Entry{message("vis_a", fmt.Sprintf("msg_s%04d", i), "x")}, parley.ExpectAny)
		}
		checkNoSpace(t, s)
	}
	small, err := s.Head(t.Context(), "ste_a/c/cnv_b/messages")
	must(t, err)
	watched -= int(small.Seq)
	checkCount(t, s, stream, stored)
	if watched != stored {
		t.Errorf("watched %d, stored %d", watched, stored)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitReady(t, s)
	for i := range 3 {
		if err := send(stored + i); err != nil {
			t.Fatalf("after space was freed: %v", err)
		}
	}
	if err := send(stored); err != nil { // the client did not hear of it
		t.Fatal(err)
	}
	checkCount(t, s, stream, stored+3)
	if watched != stored+3 {
		t.Errorf("watched %d, stored %d", watched, stored+3)
	}
}

// TestDamageWhileOpen scribbles over the file of an open store. What finds it
// says what to do, and nothing is acknowledged from then on.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	stream := parley.Stream("ste_a/c/cnv_a/messages")
	send := func(i int) error {
		_, err := s.Append(t.Context(), stream, []parley.Entry{message("vis_a", fmt.Sprintf("msg_%04d", i), strings.Repeat("x", 500))}, parley.ExpectAny)
		return err
	}
	for i := range 100 {
		must(t, send(i))
	}
	must(t, s.Close())

	s = open(t, dir)
	defer func() { _ = s.Close() }() // it has nothing sound to close
	f, err := os.OpenFile(filepath.Join(dir, "parley.db"), os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("scribble", int(info.Size()-4096)/8)), 4096) // all but the first page
	must(t, err)
	must(t, f.Close())

	if err := s.Scrub(t.Context()); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("scrub of a damaged file: %v", err)
	}
	if _, err := s.Read(t.Context(), stream, 0, 100); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("read of a damaged file: %v", err)
	}
	checkTemporary(t, send(1))
	checkTemporary(t, send(1000))
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("ready with a damaged file: %v", err)
	}
}

// TestReadyOnAFullDisk fills the disk of a store that has nothing to do.
func TestReadyOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 8<<20)
	s := open(t, filepath.Join(disk, "data"))
	defer func() { must(t, s.Close()) }()
	must(t, s.Ready(t.Context()))
	for i := range 20 { // the room that it has seen to is used up
		_, err := s.Append(t.Context(), "ste_a/c/cnv_a/messages", []parley.Entry{message("vis_a", fmt.Sprintf("msg_%04d", i), strings.Repeat("x", 12<<10))}, parley.ExpectAny)
		must(t, err)
	}
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for range 3 {
		checkNoSpace(t, s)
	}
	must(t, os.Remove(ballast))
	waitReady(t, s)
}

func checkNoSpace(t *testing.T, s *sqlite.Store) {
	t.Helper()
	if err := s.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("on a full disk it is ready: %v", err)
	}
}

func checkTemporary(t *testing.T, err error) {
	t.Helper()
	var refusal *parley.Error
	if !errors.As(err, &refusal) || !refusal.Code.Retry() {
		t.Fatalf("error %v, want a temporary one", err)
	}
}

// TestDiskFullAtStart reads what a server says that cannot start: it ends, so it
// must not only promise to go on by itself.
func TestDiskFullAtStart(t *testing.T) {
	const size = 1 << 20
	disk := smallDisk(t, size)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, size), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for _, room := range []int64{0, 64 << 10} { // none at all; not enough for the schema
		if err := os.Truncate(ballast, size-room); err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: filepath.Join(disk, fmt.Sprintf("data%d", room))})
		if err == nil {
			_ = s.Close()
			t.Fatalf("it starts with %d bytes of room", room)
		}
		if !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), "has to be started again") {
			t.Errorf("with %d bytes of room it says: %v", room, err)
		}
	}
}
