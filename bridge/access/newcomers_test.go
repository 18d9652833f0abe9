package access_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

func (f *fixture) visitFrom(ip, refreshToken string) (parley.Credentials, error) {
	return f.access.VisitorSession(context.Background(), parley.VisitorRequest{SiteKey: f.site.Key, RemoteIP: ip, RefreshToken: refreshToken})
}

// An address makes so many new visitors and no more; time gives it others. Who
// was there before, other addresses and the network of one IPv6 customer count as
// they should.
func TestNewVisitorsAreLimited(t *testing.T) {
	f := setup(t)
	first, err := f.visitFrom("192.0.2.1", "")
	if err != nil {
		t.Fatal(err)
	}
	for range access.NewVisitors - 1 {
		if _, err := f.visitFrom("192.0.2.1", ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.visitFrom("192.0.2.1", "")
	expectCode(t, err, parley.CodeRateLimited)
	if wait := parley.ErrorOf(err).RetryAfter; wait != access.NewVisitorsTime/access.NewVisitors {
		t.Errorf("it passes after %v", wait)
	}
	if again, err := f.visitFrom("192.0.2.1", first.RefreshToken); err != nil || again.Identity.User != first.Identity.User {
		t.Errorf("who was there before: %+v, %v", again.Identity, err)
	}
	if _, err := f.visitFrom("192.0.2.2", ""); err != nil {
		t.Errorf("another address: %v", err)
	}
	f.clock.advance(access.NewVisitorsTime / access.NewVisitors)
	if _, err := f.visitFrom("192.0.2.1", ""); err != nil {
		t.Errorf("after its time: %v", err)
	}
	_, err = f.visitFrom("192.0.2.1", "")
	expectCode(t, err, parley.CodeRateLimited)
	for i := range access.NewVisitors {
		if _, err := f.visitFrom(fmt.Sprintf("2001:db8::%x", i+1), ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.visitFrom("2001:db8::ffff:1", "")
	expectCode(t, err, parley.CodeRateLimited)
	if _, err := f.visitFrom("2001:db8:0:1::1", ""); err != nil {
		t.Errorf("another network: %v", err)
	}
}
