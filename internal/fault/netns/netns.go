// Package netns makes networks of one machine each, as Linux network
// namespaces, with a cable to the host that can be pulled and spoilt. It needs
// root, iproute2 and nftables.
package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

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

// Namespace is a network with one machine and a cable to the host. Its methods
// are called by one goroutine.
type Namespace struct {
	name, outer string
	network     string // the first three numbers of its addresses
}

// New makes namespace number n, 1 to 250, anew.
func (h *Host) New(ctx context.Context, n int) (*Namespace, error) {
	name := fmt.Sprintf("%s%d", h.prefix(), n)
	ns := &Namespace{name: name, outer: name, network: h.network(n)}
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

func (n *Namespace) host() string { return n.network + ".1" }

// Prefix is what a command line begins with to be run in the namespace.
func (n *Namespace) Prefix() []string { return []string{"ip", "netns", "exec", n.name} }

// Address gives the machine another address, 2 to 254, instead of the one it
// has: connections from the old one get no byte any more.
func (n *Namespace) Address(ctx context.Context, last int) error {
	return n.inside(ctx,
		"ip addr flush dev eth0 scope global",
		fmt.Sprintf("ip addr add %s.%d/24 dev eth0", n.network, last),
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
