// Package netns makes networks of one machine each, as Linux network
// namespaces, with a cable to the host that can be pulled and spoilt. It needs
// root, iproute2 and nftables.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Server is the address of the host on which a server can be reached from all
// namespaces.
const Server = "10.213.0.1"

const commandTimeout = 20 * time.Second

// Check tells what is missing to make namespaces.
func Check() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it with sudo")
	}
	for _, name := range []string{"ip", "nft", "tc"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: apt-get install -y iproute2 nftables", err)
		}
	}
	return nil
}

// Host gives the host the address Server until the returned function is called.
// One process on a machine can have it at a time; the others wait.
func Host(ctx context.Context) (remove func(), err error) {
	if err := Check(); err != nil {
		return nil, err
	}
	alone, err := lock(ctx)
	if err != nil {
		return nil, err
	}
	_ = run(ctx, "ip addr del "+Server+"/32 dev lo") // an earlier run may have been killed
	if err := run(ctx, "ip addr add "+Server+"/32 dev lo"); err != nil {
		alone.Close()
		return nil, err
	}
	return func() {
		_ = run(context.WithoutCancel(ctx), "ip addr del "+Server+"/32 dev lo") // gone is gone
		alone.Close()
	}, nil
}

// lockFile is held by whoever uses the addresses of this package.
const lockFile = "/run/parley-fault.lock"

// lock waits until nobody else on this machine uses the addresses.
func lock(ctx context.Context) (io.Closer, error) {
	f, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the namespaces: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Namespace is a network with one machine and a cable to the host. Its methods
// are called by one goroutine.
type Namespace struct {
	name, outer string
	number      int
}

// New makes namespace number n, 1 to 250, anew.
func New(ctx context.Context, n int) (*Namespace, error) {
	ns := &Namespace{name: fmt.Sprintf("parley%d", n), outer: fmt.Sprintf("parley%d", n), number: n}
	ns.Close()
	for _, command := range []string{
		"ip netns add " + ns.name,
		"ip link add " + ns.outer + " type veth peer name eth0 netns " + ns.name,
		"ip addr add " + ns.host() + "/24 dev " + ns.outer,
		"ip link set " + ns.outer + " up",
	} {
		if err := run(ctx, command); err != nil {
			ns.Close()
			return nil, err
		}
	}
	if err := ns.inside(ctx, "ip link set lo up", "ip link set eth0 up"); err != nil {
		ns.Close()
		return nil, err
	}
	if err := ns.Address(ctx, 2); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func (n *Namespace) host() string { return fmt.Sprintf("10.213.%d.1", n.number) }

// Prefix is what a command line begins with to be run in the namespace.
func (n *Namespace) Prefix() []string { return []string{"ip", "netns", "exec", n.name} }

// Address gives the machine another address, 2 to 254, instead of the one it
// has: connections from the old one get no byte any more.
func (n *Namespace) Address(ctx context.Context, last int) error {
	return n.inside(ctx,
		"ip addr flush dev eth0 scope global",
		fmt.Sprintf("ip addr add 10.213.%d.%d/24 dev eth0", n.number, last),
		"ip route replace default via "+n.host())
}

// Which way packets go.
const (
	Up   = 1 << iota // from the machine to the host
	Down             // from the host to the machine
	Both = Up | Down
)

// Drop loses so many of 100 packets from now on, in the directions given, on
// arrival: the sender does not notice. 100 pulls the cable.
func (n *Namespace) Drop(ctx context.Context, percent, directions int) error {
	what := "drop"
	if percent < 100 {
		what = fmt.Sprintf("numgen random mod 100 < %d drop", percent)
	}
	rule := func(device string) string {
		return fmt.Sprintf("nft add table netdev %s ; nft flush table netdev %s ; "+
			"nft 'add chain netdev %s in { type filter hook ingress device %s priority 0 ; }' ; nft 'add rule netdev %s in %s'",
			n.name, n.name, n.name, device, n.name, what)
	}
	if directions&Up != 0 {
		if err := shell(ctx, nil, rule(n.outer)); err != nil {
			return err
		}
	}
	if directions&Down == 0 {
		return nil
	}
	return shell(ctx, n.Prefix(), rule("eth0"))
}

// Heal undoes Drop and Narrow.
func (n *Namespace) Heal(ctx context.Context) error {
	const undo = "nft delete table netdev %s 2>/dev/null ; tc qdisc del dev %s root 2>/dev/null ; true"
	return errors.Join(
		shell(ctx, nil, fmt.Sprintf(undo, n.name, n.outer)),
		shell(ctx, n.Prefix(), fmt.Sprintf(undo, n.name, "eth0")))
}

// Narrow bounds the rate, in each direction, from now on.
func (n *Namespace) Narrow(ctx context.Context, kbit int) error {
	const slow = "tc qdisc replace dev %s root tbf rate %dkbit burst 3k latency 2s"
	return errors.Join(
		shell(ctx, nil, fmt.Sprintf(slow, n.outer, kbit)),
		shell(ctx, n.Prefix(), fmt.Sprintf(slow, "eth0", kbit)))
}

// Close removes the namespace. Processes in it lose their network.
func (n *Namespace) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	_ = shell(ctx, nil, "nft delete table netdev "+n.name) // there may be none
	_ = run(ctx, "ip netns del "+n.name)                   // may not be there yet
	_ = run(ctx, "ip link del "+n.outer)                   // goes with the namespace
}

func (n *Namespace) inside(ctx context.Context, commands ...string) error {
	return shell(ctx, n.Prefix(), "set -e ; "+strings.Join(commands, " ; "))
}

func run(ctx context.Context, command string) error { return shell(ctx, nil, command) }

func shell(ctx context.Context, prefix []string, script string) error {
	argv := append(append([]string{}, prefix...), "sh", "-c", script)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return nil
}
