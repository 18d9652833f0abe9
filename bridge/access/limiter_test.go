package access_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

func TestFailuresAreLimitedPerAccount(t *testing.T) {
	f := setup(t)
	wrong := f.agentRequest()
	wrong.Password = "wrong password"
	var wg sync.WaitGroup
	codes := make(chan parley.Code, 30)
	for i := range 30 { // in parallel, from everywhere, naming the site both ways
		r := wrong
		r.RemoteIP = fmt.Sprintf("198.51.100.%d", i)
		if i%2 == 0 {
			r.Site = f.site.Key
		}
		wg.Go(func() {
			_, err := f.access.AgentSession(context.Background(), r)
			codes <- parley.ErrorOf(err).Code
		})
	}
	wg.Wait()
	close(codes)
	count := map[parley.Code]int{}
	for c := range codes {
		count[c]++
	}
	if diff := cmp.Diff(map[parley.Code]int{parley.CodeUnauthenticated: 10, parley.CodeRateLimited: 20}, count); diff != "" {
		t.Error(diff)
	}

	_, err := f.access.AgentSession(t.Context(), f.agentRequest())
	expectCode(t, err, parley.CodeRateLimited)
	if parley.ErrorOf(err).RetryAfter != 15*time.Minute {
		t.Errorf("the refusal %v does not say how long it lasts", err)
	}
	f.clock.advance(15 * time.Minute)
	f.agent(t, f.agentRequest())
}

func TestFailuresAreLimitedPerAddress(t *testing.T) {
	f := setup(t)
	attempt := func(i int, ip string) error {
		_, err := f.access.AgentSession(t.Context(), parley.AgentRequest{
			Site: f.site.ID, Email: fmt.Sprintf("nobody%d@example.org", i), Password: "wrong password", RemoteIP: ip,
		})
		return err
	}
	for i := range 50 {
		expectCode(t, attempt(i, fmt.Sprintf("2001:db8::%x", i)), parley.CodeUnauthenticated)
	}
	expectCode(t, attempt(51, "2001:db8::ffff"), parley.CodeRateLimited)
	expectCode(t, attempt(52, "2001:db8:0:1::1"), parley.CodeUnauthenticated)
}

func TestSuccessForgetsFailures(t *testing.T) {
	f := setup(t)
	wrong := f.agentRequest()
	wrong.Password = "wrong password"
	for range 2 {
		for range 9 {
			_, err := f.access.AgentSession(t.Context(), wrong)
			expectCode(t, err, parley.CodeUnauthenticated)
		}
		f.agent(t, f.agentRequest())
	}
}

func TestAnAttemptThatCouldNotBeMadeIsNoFailure(t *testing.T) {
	f := setup(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := f.access.AgentSession(gone, f.agentRequest()); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v, want that of the context", err)
		}
	}
	f.agent(t, f.agentRequest())
}
