package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// fsyncDir tells the test binary that it is the child of TestFsyncError.
const fsyncDir = "PARLEY_SQLITE_FSYNC_DIR"

const fsyncMessages = 120

// fsyncChild sends messages one by one, each until it is acknowledged, and says
// what happens. Standard output is not buffered: in the trace, the lines stand
// between the fsyncs.
func fsyncChild(dir string) {
	time.AfterFunc(time.Minute, func() { os.Exit(1) }) // a store that stays down must not leave it behind
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir})
	for err != nil { // as a supervisor would start the server again
		s, err = sqlite.Open(context.Background(), sqlite.Options{Dir: dir})
	}
	watched := int64(0)
	s.Watch(func(entries []parley.Entry) {
		for _, e := range entries {
			if watched++; e.Seq != watched {
				fmt.Printf("error watched %d as number %d\n", e.Seq, watched)
			}
		}
	})
	for i := range fsyncMessages {
		id := fmt.Sprintf("msg_%04d", i)
		for !fsyncTry(s, id) {
			time.Sleep(10 * time.Millisecond) // as a client waits before it sends again
		}
	}
	if watched != fsyncMessages {
		fmt.Printf("error watched %d of %d\n", watched, fsyncMessages)
	}
	fmt.Printf("stats %d %d\n", s.Stats().Failures, s.Stats().Recoveries)
	fmt.Println("closed", s.Close()) // its fsync may be one that fails
}

func fsyncTry(s *sqlite.Store, id string) bool {
	fmt.Printf("try %s\n", id)
	answers, err := s.Append(context.Background(), fsyncStream, []parley.Entry{message("vis_a", id, "hello "+id)}, parley.ExpectAny)
	switch {
	case err == nil && answers[0].Err == nil:
		fmt.Printf("ack %s %d\n", id, answers[0].Entry.Seq)
		return true
	case parley.ErrorOf(err).Code != parley.CodeUnavailable:
		fmt.Printf("error %v %v\n", err, answers)
	case errors.Is(err, parley.ErrOutcomeUnknown):
		fmt.Printf("open %s\n", id)
	default:
		fmt.Printf("refused %s\n", id)
	}
	return false
}

const fsyncStream = parley.Stream("ste_a/c/cnv_a/messages")

// TestFsyncError runs a child under strace, which makes a window of its fsyncs
// fail with EIO without doing them. Nothing may be acknowledged on a failed
// fsync, the store must come up again, and what is sent again is stored once.
func TestFsyncError(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	// strace counts per thread, and the Go runtime moves the writer between
	// threads; so a window may open and close a few times.
	for _, window := range []string{"5..12", "20..20", "25..32", "40+7"} {
		t.Run("calls "+window, func(t *testing.T) {
			dir := t.TempDir()
			trace := filepath.Join(t.TempDir(), "trace")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, strace, "-f", "-qq", "-o", trace, "-s", "64", "-y", "-e", "trace=fsync,fdatasync,write,rename,renameat,renameat2",
				"-e", "inject=fsync,fdatasync:error=EIO:when="+window, os.Args[0])
			child.Env = append(os.Environ(), fsyncDir+"="+dir)
			child.Stderr = os.Stderr
			child.WaitDelay = time.Second // strace leaves its child behind when it is killed
			out, err := child.Output()
			if err != nil {
				t.Fatalf("strace does not work here (ptrace has to be allowed): %v\n%s", err, out)
			}
			acked := readFsyncLines(t, string(out))
			failed, others := checkTrace(t, trace, dir)
			if failed+others == 0 {
				t.Error("no fsync failed, the test has tested nothing")
			}
			t.Logf("%d fsyncs of the journal failed, %d of the database and the folder", failed, others)
			checkFsyncStored(t, dir, acked)
		})
	}
}

func readFsyncLines(t *testing.T, out string) map[string]int64 {
	t.Helper()
	acked := map[string]int64{}
	for line := range strings.Lines(out) {
		var id string
		var seq int64
		if _, err := fmt.Sscanf(line, "ack %s %d", &id, &seq); err == nil {
			acked[id] = seq
		}
		if strings.HasPrefix(line, "error") {
			t.Error("child: " + line)
		}
	}
	if len(acked) != fsyncMessages {
		t.Errorf("%d of %d messages were acknowledged in the end", len(acked), fsyncMessages)
	}
	return acked
}

// What strace writes. A call that another thread interrupts is written in two
// parts; the path is in the first.
var (
	traceTry    = regexp.MustCompile(`write\(1<.*"try `)
	traceAck    = regexp.MustCompile(`write\(1<.*"ack (\w+)`)
	traceSync   = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<(.*?)>`)
	traceResult = regexp.MustCompile(`^(\d+) .*f(?:data)?sync.*= (0|-1 EIO .*INJECTED)`)
	traceRename = regexp.MustCompile(`rename(?:at2?)?\(.*".*".*".*/journal-\d+"`) // its new name
)

// checkTrace fails the test when a message was acknowledged although an fsync
// of the journal had failed since it was tried, or without a good one since, or
// while the folder had not been fsynced since a segment got its name. What
// fails behind the journal delays nobody. It returns how many failed, of the
// journal's files and of others.
func checkTrace(t *testing.T, name, dir string) (failed, others int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	since, synced, named := 0, 0, false
	target := map[string]string{} // by thread
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if m := traceSync.FindStringSubmatch(line); m != nil {
			target[m[1]] = m[2]
		}
		switch result := traceResult.FindStringSubmatch(line); {
		case result != nil && strings.Contains(target[result[1]], "journal-"):
			if result[2] == "0" {
				synced++
				continue
			}
			failed++
			since++
		case result != nil && result[2] != "0":
			others++
		case result != nil && target[result[1]] == dir:
			named = true
		case traceRename.MatchString(line):
			named = false
		case traceTry.MatchString(line):
			since, synced = 0, 0
		case traceAck.MatchString(line):
			if since > 0 || synced == 0 || !named {
				t.Errorf("%s was acknowledged after %d failed fsyncs and %d good ones, folder fsynced: %v",
					traceAck.FindStringSubmatch(line)[1], since, synced, named)
			}
		}
	}
	return failed, others
}

func checkFsyncStored(t *testing.T, dir string, acked map[string]int64) {
	t.Helper()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	entries, err := s.Read(t.Context(), fsyncStream, 0, 10*fsyncMessages)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(acked) {
		t.Errorf("%d entries stored, %d acknowledged", len(entries), len(acked))
	}
	for i, e := range entries {
		if e.Seq != int64(i+1) || acked[e.ID] != e.Seq {
			t.Errorf("entry %d is %s with seq %d, acknowledged with %d", i, e.ID, e.Seq, acked[e.ID])
		}
	}
}
