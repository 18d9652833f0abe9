package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// migrate runs the command and returns what it says.
func migrate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"migrate"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestMigrate copies the store of a server that has run, and starts one on the copy.
func TestMigrate(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	epoch := n.bridge.Epoch()
	from, to := "sqlite:"+c.Data, "sqlite:"+filepath.Join(t.TempDir(), "copy")
	if _, err := migrate(t, "--from", from, "--to", to); err == nil || !strings.Contains(err.Error(), "--from "+from) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("while the server runs: %v", err)
	}
	if err := n.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := migrate(t, "--from", from, "--to", to)
	if err != nil || !strings.Contains(out, "the same: ") || !strings.Contains(out, "PARLEY_STORE="+to) || !strings.Contains(out, from+" is as it was") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := migrate(t, "--from", from, "--to", to, "--compare"); err != nil {
		t.Errorf("compared once more: %v", err)
	}
	if _, err := migrate(t, "--from", from, "--to", to); err == nil || !strings.Contains(err.Error(), "a store already") {
		t.Errorf("again: %v", err)
	}
	c.Data, c.Store = "", to
	if n := startNode(t, c); n.bridge.Epoch() != epoch {
		t.Errorf("the copy has the epoch %s, want %s", n.bridge.Epoch(), epoch)
	}
}

func TestMigrateRefuses(t *testing.T) {
	there, another := "sqlite:"+filepath.Join(t.TempDir(), "there"), "sqlite:"+filepath.Join(t.TempDir(), "another")
	for _, at := range []string{there, another} {
		must(t, openStore(t, at).Close())
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":      {nil, "--from: name a store"},
		"no target":    {[]string{"--from", "sqlite:./a"}, "--to: name a store"},
		"the same":     {[]string{"--from", "sqlite:./a", "--to", "sqlite:a/"}, "the same store"},
		"no store":     {[]string{"--from", "sqlite:./missing", "--to", "sqlite:./new"}, "--from sqlite:./missing: there is no store"},
		"no server":    {[]string{"--from", "mongodb://u:secret@nowhere.invalid/chat", "--to", "sqlite:./new"}, "--from mongodb://nowhere.invalid/chat: open store: the host name"},
		"a store":      {[]string{"--from", there, "--to", there + "/."}, "the same store"},
		"over a store": {[]string{"--from", there, "--to", another}, "--to " + another + ": open store"},
		"another kind": {[]string{"--from", "redis://u:secret@db", "--to", "sqlite:./new"}, "--from: a store is"},
	} {
		_, err := migrate(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
