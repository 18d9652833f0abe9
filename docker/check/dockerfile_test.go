package check_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// image is what the Dockerfile's last stage says about the server's process.
type image struct {
	user, workdir string
	env           []string
	start         []string // entry point and command
	health        []string
	copies        map[string]string // what is in it: path there, path in the stage that built it
	owned         []string          // paths that belong to user
	volumes       []string
	base          string
}

func readDockerfile(t *testing.T) ([]instructions.Stage, image) {
	t.Helper()
	f, err := os.Open("../Dockerfile")
	must(t, err)
	defer func() { _ = f.Close() }()
	parsed, err := parser.Parse(f)
	must(t, err)
	for _, w := range parsed.Warnings {
		t.Errorf("the parser warns: %s", w.Short)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	must(t, err)
	last := stages[len(stages)-1]
	i := image{base: last.BaseName, copies: map[string]string{}}
	var entry, command []string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			i.user = c.User
		case *instructions.WorkdirCommand:
			i.workdir = c.Path
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				i.env = append(i.env, kv.Key+"="+kv.Value)
			}
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.CmdCommand:
			command = c.CmdLine
		case *instructions.HealthCheckCommand:
			i.health = c.Health.Test
		case *instructions.VolumeCommand:
			i.volumes = c.Volumes
		case *instructions.CopyCommand:
			for _, from := range c.SourcePaths {
				i.copies[c.DestPath] = from
			}
			if c.Chown != "" {
				i.owned = append(i.owned, c.DestPath+" "+c.Chown)
			}
		}
	}
	i.start = slices.Concat(entry, command)
	return stages, i
}

func TestDockerfile(t *testing.T) {
	stages, i := readDockerfile(t)
	if len(stages) != 3 || i.base != "scratch" {
		t.Errorf("%d stages, the last one from %s", len(stages), i.base)
	}
	if i.user != user+":"+user {
		t.Errorf("it runs as %q", i.user)
	}
	equal(t, "start", i.start, []string{"/parley", "serve"})
	equal(t, "health", i.health, []string{"CMD", "/parley", "healthcheck"})
	equal(t, "volumes", i.volumes, []string{"/data"})
	equal(t, "what is writable", i.owned, []string{"/data " + user + ":" + user})
	for _, path := range []string{"/parley", "/data", certificates} {
		if i.copies[path] == "" {
			t.Errorf("%s is not in the image", path)
		}
	}
	for _, s := range stages[:2] {
		if strings.Contains(s.BaseName, "latest") || !strings.Contains(s.BaseName, ":") {
			t.Errorf("stage %s is built from whatever %s is that day", s.Name, s.BaseName)
		}
	}
}
