package access_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

// expectOut fails unless both tokens are void, for ever.
func (f *fixture) expectOut(t *testing.T, what string, c parley.Credentials, out bool) {
	t.Helper()
	_, err := f.access.Verify(t.Context(), c.Token)
	_, refreshErr := f.access.Refresh(t.Context(), c.RefreshToken)
	for _, err := range []error{err, refreshErr} {
		if got := parley.ErrorOf(err) != nil && parley.ErrorOf(err).Code == parley.CodeUnauthenticated; got != out {
			t.Errorf("%s: %v, want it out: %t", what, err, out)
		}
	}
}

// A device that was signed out is out on every node and after a restart; the
// user's others are not, and who signs in again is in.
func TestSignOutIsOfOneDevice(t *testing.T) {
	f := setup(t)
	phone, pc, other := f.agent(t, f.agentRequest()), f.agent(t, f.agentRequest()), f.visitor(t)
	f.clock.advance(time.Second)
	if err := f.access.SignOut(t.Context(), phone.Identity); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 2 {
		f.expectOut(t, "the phone", phone, true)
		f.expectOut(t, "the PC", pc, false)
		f.expectOut(t, "somebody else", other, false)
		if f.access, err = access.New(t.Context(), f.store, access.Options{Now: f.clock.now}); err != nil {
			t.Fatal(err)
		}
	}
	again := f.agentRequest()
	again.RefreshToken, again.Device = phone.RefreshToken, phone.Identity.Device
	f.clock.advance(time.Millisecond)
	f.expectOut(t, "the phone, signed in again", f.agent(t, again), false)
}

func TestSignOutUserIsOfAllDevices(t *testing.T) {
	f := setup(t)
	phone, pc, visitor := f.agent(t, f.agentRequest()), f.agent(t, f.agentRequest()), f.visitor(t)
	expectCode(t, f.access.SignOutUser(t.Context(), visitor.Identity, phone.Identity.User), parley.CodeForbidden)
	f.expectOut(t, "after a stranger has tried", phone, false)
	f.clock.advance(time.Second)
	if err := f.access.SignOutUser(t.Context(), phone.Identity, visitor.Identity.User); err != nil { // an owner
		t.Fatal(err)
	}
	f.expectOut(t, "the visitor", visitor, true)
	if err := f.access.SignOutUser(t.Context(), phone.Identity, phone.Identity.User); err != nil {
		t.Fatal(err)
	}
	f.expectOut(t, "the phone", phone, true)
	f.expectOut(t, "the PC", pc, true)
}

// A clock that is set back keeps nobody out who signs in again, and lets nobody in
// who was signed out.
func TestSignOutWithAClockThatIsSetBack(t *testing.T) {
	f := setup(t)
	phone := f.agent(t, f.agentRequest())
	f.clock.advance(10 * time.Second)
	if err := f.access.SignOutUser(t.Context(), phone.Identity, phone.Identity.User); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(-5 * time.Second)
	f.expectOut(t, "signed in after that", f.agent(t, f.agentRequest()), false)
	f.expectOut(t, "the phone", phone, true)
	if err := f.access.SignOut(t.Context(), phone.Identity); err != nil { // lowers nothing
		t.Fatal(err)
	}
	f.expectOut(t, "the phone", phone, true)
}

func TestRevokedIsTold(t *testing.T) {
	f := setup(t)
	var told []parley.Revocation
	var err error
	f.access, err = access.New(t.Context(), f.store, access.Options{Now: f.clock.now, Revoked: func(r parley.Revocation) { told = append(told, r) }})
	if err != nil {
		t.Fatal(err)
	}
	c := f.visitor(t)
	if err := f.access.SignOut(t.Context(), c.Identity); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].User != c.Identity.User || told[0].Device != c.Identity.Device || told[0].Site != f.site.ID {
		t.Errorf("told of %+v", told)
	}
}

// Tokens outlive a clock that is put back, until somebody signs them out.
func TestTokensFromBeforeTheClockWasPutBack(t *testing.T) {
	f := setup(t)
	visitor := f.visitor(t)
	f.clock.advance(-time.Hour)
	f.expectOut(t, "an hour earlier", visitor, false)
	if err := f.access.SignOut(t.Context(), visitor.Identity); err != nil {
		t.Fatal(err)
	}
	f.expectOut(t, "signed out", visitor, true)
	f.clock.advance(time.Hour)
	f.expectOut(t, "when the clock is as before", visitor, true)
	again := f.visitor(t)
	f.expectOut(t, "a new one", again, false)
	f.clock.advance(-time.Hour)
	f.expectOut(t, "a new one, an hour earlier", again, false)
}
