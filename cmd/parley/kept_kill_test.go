package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keptVariable tells the test binary that it is the child of TestKeptKilled, and
// where the store is that it opens.
const keptVariable = "PARLEY_KEPT_FOLDER"

// keptChild opens a store and closes it.
func keptChild(dir string) int {
	s, _, err := location{folder: dir}.open(context.Background(), false, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestKeptKilled kills the first start on folders of old versions at one after the
// other of the calls by which it changes files. The next start finishes the work.
func TestKeptKilled(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	const calls = "write,pwrite64,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat"
	for _, name := range []string{"sqlite-1", "sqlite-3", "sqlite-5"} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			c.Data = unpackKept(t, name).dir
			want := readStore(t, c)
			kills := 0
			// strace counts by thread, and Go moves the work between threads: the last
			// ones may not come up.
			for call := 1; ; call += 1 + call/4 {
				c.Data = unpackKept(t, name).dir
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				child := exec.CommandContext(ctx, strace, "-f", "-qq", "-o", filepath.Join(t.TempDir(), "trace"),
					"-e", "trace="+calls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", calls, call), os.Args[0])
				child.Env = append(os.Environ(), keptVariable+"="+c.Data)
				child.WaitDelay = time.Second // strace leaves its child behind when it is killed
				out, err := child.CombinedOutput()
				cancel()
				if err != nil && strings.TrimSpace(string(out)) != "" {
					t.Fatalf("call %d: %v\n%s", call, err, out)
				}
				if d := cmp.Diff(want, readStore(t, c)); d != "" {
					t.Fatalf("killed at call %d (-whole +found):\n%s", call, d)
				}
				if err == nil {
					break
				}
				kills++
			}
			if kills < 10 {
				t.Errorf("it was killed %d times only", kills)
			}
			t.Logf("killed %d times", kills)
		})
	}
}
