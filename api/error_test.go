package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

// failing is a Log that fails in the way it is told.
type failing struct {
	api.Log
	how func(ctx context.Context) error
}

func (l failing) Conversation(ctx context.Context, _ parley.Identity, _ string) (parley.Conversation, error) {
	return parley.Conversation{}, l.how(ctx)
}

func (l failing) Record(ctx context.Context, _ parley.Identity, _ string, _ []parley.Draft) ([]parley.Appended, error) {
	return nil, l.how(ctx)
}

func originList(origins ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return origins, nil }
}

func TestErrorsBecomeProblems(t *testing.T) {
	var failure error
	f := setup(t, func(o *api.Options) {
		o.Log = failing{o.Log, func(context.Context) error { return failure }}
	})
	for _, c := range []struct {
		err    error
		status int
		code   parley.Code
	}{
		{parley.Errorf(parley.CodeInvalid, "x"), 400, parley.CodeInvalid},
		{parley.Errorf(parley.CodeTooLarge, "x"), 413, parley.CodeTooLarge},
		{parley.Errorf(parley.CodeUnauthenticated, "x"), 401, parley.CodeUnauthenticated},
		{parley.Errorf(parley.CodeForbidden, "x"), 403, parley.CodeForbidden},
		{parley.Errorf(parley.CodeNotFound, "x"), 404, parley.CodeNotFound},
		{parley.Errorf(parley.CodeConflict, "x"), 409, parley.CodeConflict},
		{parley.Errorf(parley.CodeClosed, "x"), 409, parley.CodeClosed},
		{parley.Errorf(parley.CodeRateLimited, "x"), 429, parley.CodeRateLimited},
		{parley.Errorf(parley.CodeUnavailable, "x"), 503, parley.CodeUnavailable},
		{parley.Errorf(parley.CodeInternal, "x"), 500, parley.CodeInternal},
		{fmt.Errorf("wrapped: %w", parley.Errorf(parley.CodeNotFound, "x")), 404, parley.CodeNotFound},
		{fmt.Errorf("write: %w", parley.ErrOutcomeUnknown), 503, parley.CodeUnavailable},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 503, parley.CodeUnavailable},
		{errors.New("disk /dev/sda is on fire"), 500, parley.CodeInternal},
	} {
		failure = c.err
		r := f.get(t, f.visitor, "/v1/conversations/x")
		p := expectProblem(t, r, c.status, c.code)
		if strings.Contains(p.Detail, "fire") {
			t.Errorf("the detail of an internal error leaks: %q", p.Detail)
		}
		limited := c.code == parley.CodeRateLimited || c.code == parley.CodeUnavailable
		if (r.header.Get("Retry-After") != "") != limited || (p.RetryAfter > 0) != limited {
			t.Errorf("%s: Retry-After is %q and %d", c.code, r.header.Get("Retry-After"), p.RetryAfter)
		}
	}
}

func TestInternalErrorsAreLoggedOnce(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.Log = failing{o.Log, func(context.Context) error { return errors.New("disk is on fire") }}
	})
	r := f.get(t, f.visitor, "/v1/conversations/x")
	expectProblem(t, r, http.StatusInternalServerError, parley.CodeInternal)
	f.stop()
	if n := strings.Count(f.log.String(), "disk is on fire"); n != 1 {
		t.Errorf("the error is in the log %d times:\n%s", n, f.log)
	}
	if !strings.Contains(f.log.String(), r.header.Get("X-Request-Id")) {
		t.Errorf("request %s is not in the log:\n%s", r.header.Get("X-Request-Id"), f.log)
	}
}

func TestFailureToStoreSaysSendAgain(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.Log = failing{o.Log, func(context.Context) error { return errors.New("disk is on fire") }}
	})
	d := draft("hello")
	p := expectProblem(t, f.post(t, f.visitor, messagesPath("cnv_1"), d), http.StatusServiceUnavailable, parley.CodeUnavailable)
	if p.ID != d.ID || strings.Contains(p.Detail, "fire") {
		t.Errorf("problem %+v", p)
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.Log = failing{o.Log, func(context.Context) error { panic("broken invariant") }}
	})
	expectProblem(t, f.get(t, f.visitor, "/v1/conversations/x"), http.StatusInternalServerError, parley.CodeInternal)
	f.expect(t, f.get(t, f.visitor, "/v1/me"), http.StatusOK)
	f.stop()
	if !strings.Contains(f.log.String(), "broken invariant") || !strings.Contains(f.log.String(), "error_test.go") {
		t.Errorf("panic and its place are not in the log:\n%s", f.log)
	}
}

func TestRequestsEnd(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.RequestTimeout = 20 * time.Millisecond
		o.Log = failing{o.Log, func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("interrupted") // as a library that does not wrap the context's error
		}}
	})
	expectProblem(t, f.get(t, f.visitor, "/v1/conversations/x"), http.StatusServiceUnavailable, parley.CodeUnavailable)
}

func TestHealthAndReadiness(t *testing.T) {
	var broken error
	f := setup(t, func(o *api.Options) {
		ready := o.Ready
		o.Ready = func(ctx context.Context) error { return errors.Join(broken, ready(ctx)) }
	})
	f.expect(t, f.get(t, parley.Credentials{}, "/healthz"), http.StatusOK)
	f.expect(t, f.get(t, parley.Credentials{}, "/readyz"), http.StatusOK)

	broken = errors.New("/var/lib/parley is full")
	f.expect(t, f.get(t, parley.Credentials{}, "/healthz"), http.StatusOK)
	p := expectProblem(t, f.get(t, parley.Credentials{}, "/readyz"), http.StatusServiceUnavailable, parley.CodeUnavailable)
	if p.Detail != "the store cannot write" {
		t.Errorf("reason %q", p.Detail)
	}
	broken = parley.Errorf(parley.CodeUnavailable, "the disk is full")
	p = expectProblem(t, f.get(t, parley.Credentials{}, "/readyz"), http.StatusServiceUnavailable, parley.CodeUnavailable)
	if p.Detail != "the disk is full" {
		t.Errorf("reason %q", p.Detail)
	}
}

func TestWithoutAStoreTokensAreStillChecked(t *testing.T) {
	f := setup(t, nil)
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	expectProblem(t, f.post(t, f.visitor, messagesPath("cnv_1"), draft("x")), http.StatusServiceUnavailable, parley.CodeUnavailable)
	f.expect(t, f.get(t, f.visitor, "/v1/me"), http.StatusOK)
}
