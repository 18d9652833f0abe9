package pace_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/internal/pace"
)

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

// Whatever comes when: never more than the burst and what the time gives, and
// what is told to wait may come then.
func TestPaceIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		c.at.Store(int64(time.Hour))
		burst := rapid.IntRange(1, 6).Draw(t, "burst")
		const period = time.Minute
		l := pace.New(c.now, burst, period, 10)
		var taken []int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c.at.Add(rapid.Int64Range(0, int64(period/2)).Draw(t, "later"))
			wait := l.Take("a")
			if wait > 0 && rapid.Bool().Draw(t, "waits") {
				c.at.Add(int64(wait))
				if again := l.Take("a"); again > 0 {
					t.Fatalf("told to wait for %s, then for %s more", wait, again)
				}
				wait = 0
			}
			if wait > 0 {
				continue
			}
			taken = append(taken, c.at.Load())
			for i := range taken {
				n, in := len(taken)-i, time.Duration(taken[len(taken)-1]-taken[i])
				if most := burst + int(in*time.Duration(burst)/period); n > most {
					t.Fatalf("%d in %s, at most %d", n, in, most)
				}
			}
		}
	})
}

func TestGiveBack(t *testing.T) {
	var c clock
	l := pace.New(c.now, 1, time.Minute, 10)
	for range 3 {
		if wait := l.Take("a"); wait != 0 {
			t.Fatalf("to wait for %s", wait)
		}
		l.GiveBack("a")
	}
	l.GiveBack("nobody")
}

// What comes in any case is told how long to wait.
func TestDelay(t *testing.T) {
	var c clock
	l := pace.New(c.now, 10, time.Second, 10)
	if wait := l.Delay("a", 10); wait != 0 {
		t.Errorf("the burst waits for %s", wait)
	}
	if wait := l.Delay("a", 5); wait != 500*time.Millisecond {
		t.Errorf("five more wait for %s", wait)
	}
	if wait := l.Delay("b", 1); wait != 0 {
		t.Errorf("another key waits for %s", wait)
	}
	if wait := l.Take("a"); wait != 600*time.Millisecond {
		t.Errorf("one more waits for %s", wait)
	}
}

func TestNoLimit(t *testing.T) {
	l := pace.New(time.Now, -1, time.Minute, 10)
	for range 1000 {
		if l.Take("a") != 0 || l.Delay("a", 100) != 0 {
			t.Fatal("limited")
		}
	}
}

// Any number of keys costs bounded memory, and shuts nobody out.
func TestManyKeys(t *testing.T) {
	l := pace.New(time.Now, 1, time.Hour, 1000)
	for i := range 5000 {
		if wait := l.Take(strconv.Itoa(i)); wait != 0 {
			t.Fatalf("key %d waits for %s", i, wait)
		}
	}
	if n := l.Len(); n > 1000 {
		t.Errorf("%d keys are remembered", n)
	}
}

// Room is made of those who would not be limited anyway.
func TestForgetsTheFreeFirst(t *testing.T) {
	var c clock
	l := pace.New(c.now, 2, time.Hour, 1000)
	for i := range 999 {
		l.Take("early" + strconv.Itoa(i))
	}
	c.at.Add(int64(time.Hour))
	l.Take("busy")
	l.Take("busy")
	l.Take("late")
	if n := l.Len(); n != 2 {
		t.Errorf("%d keys are remembered, want the two of this hour", n)
	}
	if l.Take("busy") == 0 {
		t.Error("making room forgave who is at the limit")
	}
}

func TestTogetherTheyKeepThePace(t *testing.T) {
	var c clock
	l := pace.New(c.now, 50, time.Hour, 10)
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if l.Take("a") == 0 {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := taken.Load(); n != 50 {
		t.Errorf("%d", n)
	}
}
