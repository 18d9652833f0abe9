package broker

import (
	"context"
	"fmt"
	"sync"
)

// deviceLocks lets one login of a device at a time through, so that the
// connection the hub holds last is also the one with the newest generation in
// the store.
type deviceLocks struct {
	mu    sync.Mutex
	locks map[string]*deviceLock
}

// deviceLock exists as long as somebody has it or waits for it.
type deviceLock struct {
	taken  chan struct{} // holds one: the login that has it
	users  int           // guarded by deviceLocks.mu, as newest is
	newest chan struct{} // of the login that came last
}

// turn is a login's turn. unlock must be called.
type turn struct {
	unlock func()
	newer  <-chan struct{} // closed when another login of the device has come
}

func newDeviceLocks() *deviceLocks { return &deviceLocks{locks: map[string]*deviceLock{}} }

// lock waits for its turn until ctx ends.
func (d *deviceLocks) lock(ctx context.Context, device string) (turn, error) {
	l, newer := d.use(device)
	select {
	case l.taken <- struct{}{}:
		unlock := func() {
			<-l.taken
			d.unuse(device, l)
		}
		return turn{unlock: unlock, newer: newer}, nil
	case <-ctx.Done():
		d.unuse(device, l)
		return turn{}, fmt.Errorf("wait for another login of the device: %w", ctx.Err())
	}
}

// busy reports whether a login of the device has its turn or waits for it.
func (d *deviceLocks) busy(device string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.locks[device] != nil
}

func (d *deviceLocks) use(device string) (l *deviceLock, newer <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.locks[device]
	if !ok {
		l = &deviceLock{taken: make(chan struct{}, 1)}
		d.locks[device] = l
	}
	l.users++
	if l.newest != nil {
		close(l.newest)
	}
	l.newest = make(chan struct{})
	return l, l.newest
}

func (d *deviceLocks) unuse(device string, l *deviceLock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(d.locks, device)
	}
}
