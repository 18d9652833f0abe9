package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Host is this machine as the namespaces see it. It has a place among the other
// processes that make namespaces here, which is in every name and address, so
// that they do not meet.
type Host struct {
	place int
	lock  *os.File // held as long as the place is
}

const (
	places       = 16
	firstNetwork = 214 // 10.214.0.0/16 is the first place's
	lockFile     = "/run/parley-fault-%d.lock"
)

// Claim takes a free place, removes what a killed process has left there, and
// gives the machine the address Server until Close. It waits while all places
// are taken.
func Claim(ctx context.Context) (*Host, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	h, err := claim(ctx)
	if err != nil {
		return nil, err
	}
	h.clear(ctx)
	if err := run(ctx, "ip addr add "+h.Server()+"/32 dev lo"); err != nil {
		return nil, errors.Join(err, h.lock.Close())
	}
	return h, nil
}

func claim(ctx context.Context) (*Host, error) {
	for {
		for place := range places {
			f, err := os.OpenFile(fmt.Sprintf(lockFile, place), os.O_CREATE|os.O_RDWR, 0o600)
			if err != nil {
				return nil, fmt.Errorf("lock the namespaces: %w", err)
			}
			if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				return &Host{place, f}, nil
			}
			if err := f.Close(); err != nil {
				return nil, fmt.Errorf("lock the namespaces: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock the namespaces: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Server is the address on which a server can be reached from all namespaces.
func (h *Host) Server() string { return h.network(0) + ".1" }

// Close removes every namespace that is left, and the address.
func (h *Host) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	h.clear(ctx)
	_ = h.lock.Close() // nothing is written to it
}

func (h *Host) network(n int) string { return fmt.Sprintf("10.%d.%d", firstNetwork+h.place, n) }

// prefix is what the names of namespaces, interfaces and tables begin with: they
// may have 15 characters.
func (h *Host) prefix() string { return fmt.Sprintf("parley%d-", h.place) }

// clear removes what has the names and the address of the place.
func (h *Host) clear(ctx context.Context) {
	names := map[string]bool{}
	links, _ := filepath.Glob("/sys/class/net/" + h.prefix() + "*") // the pattern is sound
	spaces, _ := filepath.Glob("/run/netns/" + h.prefix() + "*")
	for _, path := range append(links, spaces...) {
		names[filepath.Base(path)] = true
	}
	tables, _ := exec.CommandContext(ctx, "nft", "list", "tables", "netdev").Output() // none where that fails
	for _, word := range strings.Fields(string(tables)) {
		if strings.HasPrefix(word, h.prefix()) {
			names[word] = true
		}
	}
	for name := range names {
		(&Namespace{name: name, outer: name}).Close()
	}
	_ = run(ctx, "ip addr del "+h.Server()+"/32 dev lo") // gone is gone
}
