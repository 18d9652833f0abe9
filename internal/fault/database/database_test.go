package database_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/fault/database"
)

func TestKillStartAndTurn(t *testing.T) {
	binary, err := database.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := database.New(t.Context(), binary, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	addr := strings.TrimSuffix(strings.TrimPrefix(d.URI("x"), "mongodb://"), "/x")
	accepts := func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	for range 2 {
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, mood := range []struct {
			name    string
			accepts bool
		}{{"refuse", false}, {"fine", true}} {
			if err := d.Turn(mood.name); err != nil {
				t.Fatal(err)
			}
			if accepts() != mood.accepts {
				t.Errorf("%s: accepts connections: %v", mood.name, !mood.accepts)
			}
		}
		if err := d.Turn("odd"); err == nil {
			t.Error("there is no such mood")
		}
		d.Kill()
		d.Kill()
		if accepts() {
			t.Error("killed, and accepting")
		}
	}
}
