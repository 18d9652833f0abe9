package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// dirVariable tells a test binary that it is the child of Crash, and where its
// store is.
const dirVariable = "PARLEY_STORETEST_CRASH_DIR"

// The child's load.
const (
	crashWriters = 12
	crashStreams = 3
	crashRounds  = 6
)

// ChildMain is for the TestMain of a package that calls Crash. In the test run
// it returns at once. In the child that Crash starts it opens the store, appends
// to it until it is killed, and does not return.
func ChildMain(open func(ctx context.Context, dir string) (bridge.Store, error)) {
	dir := os.Getenv(dirVariable)
	if dir == "" {
		return
	}
	st, err := open(context.Background(), dir)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var failed atomic.Bool
	var wg sync.WaitGroup
	for n := range crashWriters {
		wg.Go(func() {
			if err := crashWriter(st, n, os.Stdout); err != nil && !failed.Swap(true) {
				fmt.Println("error", err)
			}
		})
	}
	wg.Wait()
	os.Exit(1)
}

// crashWriter appends messages msg_00000000, msg_00000001 … of one sender. It
// starts from the first one every time, as a client that forgot what was
// acknowledged; each is told on w once it is. A line is one write, so lines do
// not mix.
func crashWriter(st bridge.Store, n int, w io.Writer) error {
	stream, sender := streamN(n%crashStreams), fmt.Sprintf("vis_%d", n)
	for i := 0; ; i++ {
		id := fmt.Sprintf("msg_%08d", i)
		answers, err := st.Append(context.Background(), stream, []parley.Entry{text(sender, id, "hello "+id)}, parley.ExpectAny)
		if err != nil {
			return err
		}
		if answers[0].Err != nil {
			return answers[0].Err
		}
		if _, err := fmt.Fprintf(w, "ack %s %s %s %d\n", stream, sender, id, answers[0].Entry.Seq); err != nil {
			return err
		}
	}
}

// Crash kills a process that appends, with SIGKILL and at random moments, and
// checks after each kill that every entry it acknowledged is there exactly once,
// with the seq that was told, and that the seqs are dense. TestMain has to call
// ChildMain first. What prepare does, if it is there, is done before the first
// child starts: a store that is not a folder says there where it is.
func Crash(t *testing.T, open func(t *testing.T, dir string) bridge.Store, prepare ...func(dir string)) {
	dir := t.TempDir()
	for _, do := range prepare {
		do(dir)
	}
	acked := map[crashKey]int64{}
	rounds := crashRounds * Scale()
	for round := range rounds {
		before := len(acked)
		crashRound(t, dir, acked)
		st := open(t, dir)
		checkAcked(t, st, acked)
		closeStore(t, st)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		if len(acked) == before {
			t.Fatalf("round %d acknowledged nothing new", round)
		}
	}
	t.Logf("%d kills, %d entries acknowledged", rounds, len(acked))
}

type crashKey struct {
	stream     parley.Stream
	sender, id string
}

// crashRound runs a child, lets it get past what was acknowledged before, and
// kills it a random time later.
func crashRound(t *testing.T, dir string, acked map[crashKey]int64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), dirVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var key crashKey
		var seq int64
		if _, err := fmt.Sscanf(lines.Text(), "ack %s %s %s %d", &key.stream, &key.sender, &key.id, &seq); err != nil {
			t.Errorf("child said %q", lines.Text())
			continue
		}
		first, repeated := acked[key]
		if repeated && first != seq {
			t.Errorf("%v was acknowledged with seq %d, then with %d", key, first, seq)
		}
		acked[key] = seq
		if !repeated && kill == nil {
			kill = time.AfterFunc(time.Duration(rand.IntN(int(250*time.Millisecond))), func() { _ = child.Process.Kill() })
		}
	}
	_ = child.Process.Kill() // where it ended by itself, it has said why
	_ = child.Wait()
}

func checkAcked(t *testing.T, st bridge.Store, acked map[crashKey]int64) {
	t.Helper()
	stored := map[crashKey]int64{}
	for n := range crashStreams {
		entries := mustRead(t, st, streamN(n))
		checkDense(t, entries)
		for _, e := range entries {
			key := crashKey{e.Stream, e.Sender, e.ID}
			if seq, twice := stored[key]; twice {
				t.Errorf("%v is stored as %d and %d", key, seq, e.Seq)
			}
			stored[key] = e.Seq
			equal(t, "body", string(e.Body), string(text("", "", "hello "+e.ID).Body))
		}
	}
	for key, seq := range acked {
		if stored[key] != seq {
			t.Errorf("%v was acknowledged with seq %d, stored is %d", key, seq, stored[key])
		}
	}
}
