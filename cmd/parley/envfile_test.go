package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestEnvFile compares the documented settings with those that there are.
func TestEnvFile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docker", "parley.env"))
	must(t, err)
	var want, got []string
	for f := range reflect.TypeFor[config]().Fields() {
		if name := f.Tag.Get("env"); name != "" {
			want = append(want, name)
		}
	}
	said := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# (PARLEY_\w+)=(.*)$`).FindAllSubmatch(data, -1) {
		got = append(got, string(m[1]))
		if len(m[2]) > 0 {
			said[string(m[1])] = string(m[2])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("settings in docker/parley.env (-there are +documented):\n%s", d)
	}
	var c config
	must(t, env.ParseWithOptions(&c, env.Options{Environment: said}))
	if d := cmp.Diff(defaultConfig(), c, cmp.AllowUnexported(config{}), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("values in docker/parley.env (-what they are +documented):\n%s", d)
	}
	if m := regexp.MustCompile(`(?m)^[^#\n]`).Find(data); m != nil {
		t.Errorf("docker/parley.env sets something: %q", m)
	}
}
