package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSealNeedsTheStore seals in a folder where there is none, and where one is named.
func TestSealNeedsTheStore(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"PARLEY_STORE", "PARLEY_STORE_FILE", "PARLEY_DATA"} {
		t.Setenv(name, "")
	}
	t.Setenv("PARLEY_KEY_FILE", filepath.Join(t.TempDir(), "keys"))
	keyCommandSays(t, "made ", "new")
	for _, args := range [][]string{{"--all"}, {"--site", demoSite}} {
		out, err := runKey(t, append([]string{"seal"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), "there is no store in sqlite:./data") || !strings.Contains(err.Error(), "name the server's store") || strings.Contains(out, "from now on") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
		if _, err := os.Stat("data"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: it makes a folder: %v", args, err)
		}
	}
	named := filepath.Join(t.TempDir(), "named")
	t.Setenv("PARLEY_DATA", named)
	if _, err := runKey(t, "seal", "--site", demoSite); err == nil || !strings.Contains(err.Error(), "there is no store in sqlite:"+named) {
		t.Errorf("a site of no store: %v", err)
	}
	out := keyCommandSays(t, "the store is sqlite:"+named, "seal", "--all")
	if !strings.Contains(out, "this is a new one") {
		t.Errorf("it does not say that there was none:\n%s", out)
	}
	if out := keyCommandSays(t, "the store is sqlite:"+named, "seal", "--all"); strings.Contains(out, "new one,") {
		t.Errorf("it says that there was none:\n%s", out)
	}
}

// TestTheLogTellsWhatIsSealed starts servers with and without keys, and sealed sites.
func TestTheLogTellsWhatIsSealed(t *testing.T) {
	plain := testConfig(t)
	keyed := testConfig(t)
	keyed.KeyFile = filepath.Join(t.TempDir(), "keys")
	t.Setenv("PARLEY_KEY_FILE", keyed.KeyFile)
	keyCommandSays(t, "made ", "new")
	one := testConfig(t)
	one.KeyFile = keyed.KeyFile
	must(t, startNode(t, one).close(t.Context()))
	keyCommandSays(t, "the store is sqlite:"+one.Data, "seal", "--site", demoSite, "--data", one.Data)
	for name, c := range map[string]struct {
		config
		want, not string
	}{
		"no key":          {plain, "", "sealed"},
		"nothing sealed":  {keyed, "level=WARN msg=\"there is a master key, and no site is sealed", "sites are sealed"},
		"a site's sealed": {one, `msg="sites are sealed" count=1 sites=[demo]`, "no site is sealed"},
	} {
		var log syncBuffer
		n, err := openNode(t.Context(), c.config, slog.New(slog.NewTextHandler(&log, nil)))
		must(t, err)
		must(t, n.close(context.WithoutCancel(t.Context())))
		if text := log.String(); !strings.Contains(text, c.want) || strings.Contains(text, c.not) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
