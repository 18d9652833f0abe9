package netns_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/fault/netns"
)

const dieWithNamespace = "PARLEY_TEST_DIE_WITH_NAMESPACE"

func TestMain(m *testing.M) {
	if os.Getenv(dieWithNamespace) != "" {
		die()
	}
	os.Exit(m.Run())
}

// die makes a namespace, tells its name and leaves it behind.
func die() {
	h, err := netns.Claim(context.Background())
	if err != nil {
		panic(err)
	}
	ns, err := h.New(context.Background(), 1)
	if err != nil {
		panic(err)
	}
	prefix := ns.Prefix()
	_, _ = os.Stdout.WriteString(prefix[len(prefix)-1])
	os.Exit(3)
}

// TestTwoAtOnce lets two have namespaces of the same number.
func TestTwoAtOnce(t *testing.T) {
	servers := map[string]bool{}
	for range 2 {
		h, err := netns.Claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		ns, err := h.New(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		servers[h.Server()] = true
		ping := append(ns.Prefix(), "ip", "route", "get", h.Server())
		if out, err := exec.CommandContext(t.Context(), ping[0], ping[1:]...).CombinedOutput(); err != nil {
			t.Errorf("no way to the server: %v: %s", err, out)
		}
	}
	if len(servers) != 2 {
		t.Errorf("two at once have the addresses %v", servers)
	}
}

// TestKilledRun leaves a namespace behind, which the next ones remove.
func TestKilledRun(t *testing.T) {
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(child.Environ(), dieWithNamespace+"=1")
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, t.Output()
	if child.Run() == nil || out.Len() == 0 {
		t.Fatalf("the child did not die with a namespace: %s", out.String())
	}
	h, err := netns.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := net.InterfaceByName(out.String()); err != nil {
			return
		}
		if time.Now().After(deadline) { // another process may have taken the place before us
			t.Fatalf("%s is still there", out.String())
		}
	}
}
