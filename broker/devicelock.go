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
	taken chan struct{} // holds one: the login that has it
	users int           // guarded by deviceLocks.mu
}

func newDeviceLocks() *deviceLocks { return &deviceLocks{locks: map[string]*deviceLock{}} }

// lock waits for its turn until ctx ends. unlock must be called unless there is
// an error.
func (d *deviceLocks) lock(ctx context.Context, device string) (unlock func(), err error) {
	l := d.use(device)
	select {
	case l.taken <- struct{}{}:
		return func() {
			<-l.taken
			d.unuse(device, l)
		}, nil
	case <-ctx.Done():
		d.unuse(device, l)
		return nil, fmt.Errorf("wait for another login of the device: %w", ctx.Err())
	}
}

func (d *deviceLocks) use(device string) *deviceLock {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.locks[device]
	if !ok {
		l = &deviceLock{taken: make(chan struct{}, 1)}
		d.locks[device] = l
	}
	l.users++
	return l
}

func (d *deviceLocks) unuse(device string, l *deviceLock) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(d.locks, device)
	}
}
