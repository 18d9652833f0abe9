package bridge

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// SearchesAtOnce is how many searches of one user may run at a time.
const SearchesAtOnce = 2

// searchAgain is when to search again after a refusal.
const searchAgain = time.Second

// searches counts those that run, so that whoever searches leaves room for
// messages: of all together at most as many as there are processors.
type searches struct {
	time    time.Duration // for each
	running chan struct{} // holds a token for each

	mu    sync.Mutex
	users map[searcher]int // those that run or wait
}

type searcher struct{ site, user string }

func newSearches(each time.Duration) *searches {
	return &searches{time: each, running: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), users: map[searcher]int{}}
}

// enter waits for a place, half of the time at most, and returns how to leave it. A
// refusal is parley.CodeRateLimited.
func (s *searches) enter(ctx context.Context, who parley.Identity) (leave func(), err error) {
	user := searcher{who.Site, who.User}
	if !s.count(user) {
		return nil, parley.Limited(searchAgain, "%d searches of yours are running; search again when one has ended", SearchesAtOnce)
	}
	ctx, cancel := context.WithTimeout(ctx, s.time/2)
	defer cancel()
	select {
	case s.running <- struct{}{}:
		if ctx.Err() == nil { // both may have happened
			return func() {
				<-s.running
				s.uncount(user)
			}, nil
		}
		<-s.running
	case <-ctx.Done():
	}
	s.uncount(user)
	return nil, parley.Limited(searchAgain, "too many are searching right now; search again in a moment")
}

func (s *searches) count(user searcher) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user] >= SearchesAtOnce {
		return false
	}
	s.users[user]++
	return true
}

func (s *searches) uncount(user searcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[user]--; s.users[user] == 0 {
		delete(s.users, user)
	}
}
