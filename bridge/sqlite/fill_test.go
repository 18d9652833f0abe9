package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/bridge/sqlite"
	points "github.com/parley-chat/parley/internal/crash"
)

const (
	fillDir    = "PARLEY_TEST_FILL"
	fillOrigin = "a backup"
	fillMark   = "parley.filling"
)

// fillChild begins to fill the folder, and dies.
func fillChild(dir string) {
	_, err := sqlite.FillAnew(context.Background(), sqlite.Options{Dir: dir}, fillOrigin)
	fmt.Println("filled", err)
	os.Exit(3)
}

// TestFillKilled kills a restore before it has anything, at each step: no server opens
// what is there, and another run goes on.
func TestFillKilled(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fill.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "fault", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, point := range []points.Point{points.FillMarked, points.FillMigrated, points.FillClaimed} {
		t.Run(string(point), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			child := exec.CommandContext(t.Context(), binary)
			child.Env = append(os.Environ(), fillDir+"="+dir, "PARLEY_CRASH_AT="+string(point)+":1")
			if out, err := child.CombinedOutput(); err == nil || child.ProcessState.ExitCode() != -1 {
				t.Fatalf("it was not killed: %v\n%s", err, out)
			}
			goesOn(t, dir)
		})
	}
}

// TestFillMarked opens folders as an early end of a restore leaves them.
func TestFillMarked(t *testing.T) {
	for name, files := range map[string][]string{
		"nothing else":  {fillMark},
		"an empty file": {fillMark, "parley.db"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range files {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			goesOn(t, dir)
		})
	}
}

// goesOn expects that a folder is no server's, and that it can be filled.
func goesOn(t *testing.T, dir string) {
	t.Helper()
	refused := func() {
		t.Helper()
		s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
		if err == nil {
			t.Fatal("a server opens it: ", s.Close())
		}
		if !strings.Contains(err.Error(), "was not finished") {
			t.Fatal(err)
		}
	}
	refused()
	f, err := sqlite.FillAnew(t.Context(), sqlite.Options{Dir: dir}, fillOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, fillMark)); !os.IsNotExist(err) {
		t.Errorf("the mark is there still: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	refused()
	if f, err = sqlite.FillAnew(t.Context(), sqlite.Options{Dir: dir}, fillOrigin); err != nil {
		t.Fatal(err)
	}
	epoch := f.Epoch()
	if err := f.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if s.Epoch() != epoch {
		t.Errorf("it has the epoch %s, not %s", s.Epoch(), epoch)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFillAgain fills a store that is finished, with the same and with something else.
func TestFillAgain(t *testing.T) {
	dir := t.TempDir()
	goesOnFrom := func(origin string) error {
		f, err := sqlite.FillAnew(t.Context(), sqlite.Options{Dir: dir}, origin)
		if err != nil {
			return err
		}
		return errors.Join(f.Finish(t.Context()), f.Close())
	}
	if err := goesOnFrom(fillOrigin); err != nil {
		t.Fatal(err)
	}
	if err := goesOnFrom(fillOrigin); !errors.Is(err, sqlite.ErrFilled) {
		t.Errorf("with the same: %v", err)
	}
	if err := goesOnFrom("another"); err == nil || !strings.Contains(err.Error(), "there is a store already") {
		t.Errorf("with something else: %v", err)
	}
}
