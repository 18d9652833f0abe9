package access

import (
	"context"
	"fmt"
	"sync"

	"github.com/parley-chat/parley"
)

// Revocations keeps what was revoked. Revoke is durable when it returns, and
// raises Before, never lowers it.
type Revocations interface {
	Revoke(ctx context.Context, r parley.Revocation) error
	Revocations(ctx context.Context) ([]parley.Revocation, error)
}

// revoked knows all revocations: Verify must not ask the store.
type revoked struct {
	mu     sync.RWMutex
	before map[holder]int64 // Unix milliseconds
}

// holder is whose tokens are void: a device's, or those of all of a user's if
// device is empty.
type holder struct{ site, user, device string }

func newRevoked(all []parley.Revocation) *revoked {
	r := &revoked{before: make(map[holder]int64, len(all))}
	for _, one := range all {
		r.add(one)
	}
	return r
}

func (r *revoked) add(one parley.Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := holder{one.Site, one.User, one.Device}
	r.before[h] = max(r.before[h], one.Before)
}

// of returns when tokens of a device must have been issued to count, in Unix
// milliseconds.
func (r *revoked) of(site, user, device string) int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return max(r.before[holder{site, user, device}], r.before[holder{site, user, ""}])
}

// SignOut makes all tokens of a device void, and returns when that is durable.
// Its connections end. Doing it again is safe.
func (a *Access) SignOut(ctx context.Context, who parley.Identity) error {
	return a.revoke(ctx, parley.Revocation{Site: who.Site, User: who.User, Device: who.Device})
}

// SignOutUser makes all tokens of a user void, on all devices, and returns when
// that is durable; who must administer the site, or be that user. The user may
// sign in again. Whether there is such a user is not told.
func (a *Access) SignOutUser(ctx context.Context, who parley.Identity, user string) error {
	if !who.Role.Administers() && user != who.User {
		return parley.Errorf(parley.CodeForbidden, "only those who administer the site sign others out")
	}
	return a.revoke(ctx, parley.Revocation{Site: who.Site, User: user})
}

func (a *Access) revoke(ctx context.Context, r parley.Revocation) error {
	// Those of this very millisecond, too, and those that were issued before the
	// clock was put back. Who is let in from now on has a token that counts as later.
	r.Before = max(a.options.Now().Add(maxAhead).UnixMilli(), a.revoked.of(r.Site, r.User, r.Device)) + 1
	if err := a.store.Revoke(ctx, r); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	a.revoked.add(r) // from here on nobody comes in; then who is in goes
	if a.options.Revoked != nil {
		a.options.Revoked(r)
	}
	return nil
}
