package server_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/fault/server"
)

// TestMain lets this test binary play the server: a stand-in that knows the
// flags of `parley serve` and can misbehave. The real one is run by the kill
// loop.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		standIn(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func standIn(args []string) {
	flags := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	fmt.Fprintln(os.Stderr, "starting with", strings.Join(args, " "))
	if os.Getenv("STAND_IN") == "broken" {
		os.Exit(3)
	}
	term := make(chan os.Signal, 1)
	if os.Getenv("STAND_IN") == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	starts, _ := os.ReadFile(filepath.Join(flags["--data"], "starts"))
	if err := os.WriteFile(filepath.Join(flags["--data"], "starts"), append(starts, 'x'), 0o600); err != nil {
		os.Exit(4)
	}
	polls := 0
	srv := &http.Server{Addr: flags["--http"], ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if polls++; polls < 3 || os.Getenv("STAND_IN") == "never ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() {
		<-term
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, srv.ListenAndServe())
	os.Exit(5)
}

func prepare(t *testing.T, mood string) (*server.Server, string) {
	t.Helper()
	data := t.TempDir()
	s, err := server.New(server.Config{Binary: os.Args[0], Data: data, Env: []string{"STAND_IN=" + mood}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s, data
}

func TestKillAndStartAgain(t *testing.T) {
	s, data := prepare(t, "")
	url, mqtt := s.URL(), s.MQTT()
	pids := map[int]bool{}
	for range 3 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.ReadyIn() <= 0 {
			t.Error("no time until ready")
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("started a second process")
		}
		pids[s.PID()] = true
		s.Kill()
		s.Kill()
		if resp, err := http.Get(s.URL() + "/readyz"); err == nil {
			resp.Body.Close()
			t.Error("killed, and still answering")
		}
	}
	if len(pids) != 3 {
		t.Errorf("%d processes, want 3", len(pids))
	}
	if url != s.URL() || mqtt != s.MQTT() {
		t.Error("the addresses changed over a restart")
	}
	if starts, _ := os.ReadFile(filepath.Join(data, "starts")); string(starts) != "xxx" {
		t.Errorf("the data folder saw %q, want 3 starts", starts)
	}
	if got := strings.Count(s.Stderr(), "starting with --data "+data); got != 3 {
		t.Errorf("stderr tells of %d starts, want 3", got)
	}
}

func TestStop(t *testing.T) {
	s, _ := prepare(t, "")
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stopping what never ran: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopGivesUp(t *testing.T) {
	s, _ := prepare(t, "stubborn")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("Stop: %v, want the deadline", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Errorf("starting after giving up: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Run("the process ends", func(t *testing.T) {
		s, _ := prepare(t, "broken")
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "starting with --data") {
			t.Errorf("Start: %v, want what the server said", err)
		}
	})
	t.Run("never ready", func(t *testing.T) {
		s, _ := prepare(t, "never ready")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.Start(ctx); err == nil || !strings.Contains(err.Error(), "not ready") {
			t.Errorf("Start: %v, want not ready", err)
		}
	})
	t.Run("no such binary", func(t *testing.T) {
		s, err := server.New(server.Config{Binary: filepath.Join(t.TempDir(), "parley"), Data: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("started nothing")
		}
	})
}
