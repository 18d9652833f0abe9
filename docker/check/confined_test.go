package check_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	user         = "65532"
	certificates = "/etc/ssl/certs/ca-certificates.crt"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// largest is how many bytes a binary may have: what releases promise.
func largest(t *testing.T) (n int64) {
	t.Helper()
	script, err := os.ReadFile("../../.ci/dist")
	must(t, err)
	_, promise, _ := strings.Cut(string(script), "\nlargest=")
	_, err = fmt.Sscan(promise, &n)
	must(t, err)
	return n
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// buildRoot makes what is in the image: the files that the Dockerfile copies, and what
// an engine mounts. It returns the root, and the folder that /data is to be.
func buildRoot(t *testing.T, i image) (root, data string) {
	t.Helper()
	root, data = filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "data")
	for path := range i.copies {
		at := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		switch path {
		case "/parley":
			build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", at, "github.com/parley-chat/parley/cmd/parley")
			build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build parley: %v\n%s", err, out)
			}
			if info, err := os.Stat(at); err != nil || info.Size() > largest(t) {
				t.Errorf("the binary has %d bytes, %d are promised (%v); what Go keeps is told by: go build -ldflags=-dumpdep", info.Size(), largest(t), err)
			}
		case certificates:
			from, err := os.ReadFile(certificates)
			if err != nil {
				t.Fatalf("%v: apt-get install ca-certificates", err)
			}
			must(t, os.WriteFile(at, from, 0o644))
		case "/data":
			must(t, os.Mkdir(at, 0o755))
		default:
			t.Fatalf("the image has %s, of which this test knows nothing", path)
		}
	}
	must(t, os.Mkdir(data, 0o700))
	if err := os.Chown(data, 65532, 65532); err != nil {
		t.Fatalf("give a folder to another user: %v; this test needs root", err)
	}
	// The path to both is for others, too: the test's folders are not.
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	return root, data
}

// confined is a command in the image, as its user, without any right, in a root that
// cannot be written to, with the environment of the image and env.
func confined(ctx context.Context, t *testing.T, i image, root, data string, command, env []string) *exec.Cmd {
	t.Helper()
	const script = `
		mount --make-rprivate /
		mount --bind "$1" "$1" && mount -o remount,bind,ro,nosuid,nodev "$1"
		mount --bind "$2" "$1/data"
		root=$1; shift 2
		exec chroot --userspec=65532:65532 "$root" "$@"`
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "sh", "-euc", script, "sh", root, data}, command...)...)
	cmd.Env = append(append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, i.env...), env...)
	return cmd
}

// TestConfined runs the server as its container would, without one.
func TestConfined(t *testing.T) {
	_, i := readDockerfile(t)
	root, data := buildRoot(t, i)
	addresses := freeAddresses(t, 3)
	env := []string{"PARLEY_HTTP=" + addresses[0], "PARLEY_MQTT=" + addresses[1], "PARLEY_METRICS=" + addresses[2], "PARLEY_DEMO_SITE=true"}
	var said output
	server := confined(t.Context(), t, i, root, data, i.start, env)
	server.Stderr, server.Stdout = &said, &said
	must(t, server.Start())
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()

	health := func() (string, error) {
		out, err := confined(t.Context(), t, i, root, data, i.health[1:], env).CombinedOutput()
		return string(out), err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := health()
		if err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the server ended: %v\n%s", err, said.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not get well: %s\n%s", out, said.String())
		}
	}
	checkProcess(t, server.Process.Pid)
	r, err := http.Post("http://"+addresses[0]+"/v1/visitor-sessions", "application/json", strings.NewReader(`{"siteKey":"demo-key"}`))
	must(t, err)
	if r.Body.Close(); r.StatusCode != http.StatusCreated {
		t.Errorf("a visitor is answered with %s", r.Status)
	}
	if err := os.WriteFile(filepath.Join(data, "here"), nil, 0o600); err != nil {
		t.Error(err)
	}
	must(t, server.Process.Signal(syscall.SIGTERM))
	if err := <-ended; err != nil {
		t.Errorf("it stops with %v\n%s", err, said.String())
	}
	if out, err := health(); err == nil {
		t.Errorf("what is stopped is well: %s", out)
	}
	if files, err := filepath.Glob(filepath.Join(data, "parley.db")); err != nil || len(files) != 1 {
		t.Errorf("its store is not in the volume: %v %v", files, err)
	}
}

// checkProcess looks at who the server is, and whether it may write to its root.
func checkProcess(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for _, want := range []string{"Name:\tparley", "Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("not in the status of the process: %q", want)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	must(t, err)
	if !bytes.Contains(mounts, []byte(" / / ro,")) && !bytes.Contains(mounts, []byte("/root / ro,")) {
		t.Errorf("its root is not read-only:\n%s", mounts)
	}
}

func freeAddresses(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// output is what a process says, for two goroutines.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
