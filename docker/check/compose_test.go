package check_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func loadCompose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	must(t, err)
	return cli.ProjectFromOptions(t.Context(), o)
}

func TestCompose(t *testing.T) {
	p, err := loadCompose(t, "PARLEY_MONGO_PASSWORD=pppp", "MONGO_ROOT_PASSWORD=rrrr")
	must(t, err)
	parley := p.Services["parley"]
	_, i := readDockerfile(t)
	if parley.User != i.user || !parley.ReadOnly || !slices.Equal(parley.CapDrop, []string{"ALL"}) || !slices.Contains(parley.SecurityOpt, "no-new-privileges:true") || parley.Privileged {
		t.Errorf("parley is not confined: user %q, read-only %v, capabilities dropped %v, %v", parley.User, parley.ReadOnly, parley.CapDrop, parley.SecurityOpt)
	}
	if store := parley.Environment["PARLEY_STORE"]; store == nil || *store != "mongodb://parley:pppp@mongo:27017/parley?replicaSet=rs0" {
		t.Error("parley does not find its store")
	}
	if files := parley.Environment["PARLEY_ATTACHMENTS"]; files == nil || !strings.HasPrefix(*files, "/data/") {
		t.Error("files do not go to the volume")
	}
	if d := parley.DependsOn["mongo-init"]; d.Condition != types.ServiceConditionCompletedSuccessfully {
		t.Errorf("parley starts before the replica set: %q", d.Condition)
	}
	if d := p.Services["mongo-init"].DependsOn["mongo"]; d.Condition != types.ServiceConditionHealthy {
		t.Errorf("the replica set is begun before there is a database: %q", d.Condition)
	}
	if mongo := p.Services["mongo"]; mongo.HealthCheck == nil || !slices.Contains(mongo.Command, "--replSet") || !slices.Contains(mongo.Command, "--keyFile") {
		t.Errorf("the database is %v", mongo.Command)
	}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume {
				if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s: no volume %q", name, v.Source)
				}
			} else if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is open to the network", name, port.Target)
			}
		}
		if s.Build == nil && !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %s is whatever it is that day", name, s.Image)
		}
	}
	if _, err := os.Stat(filepath.Join(parley.Build.Context, parley.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
}

// TestComposeHasNoPasswords starts nothing without both passwords.
func TestComposeHasNoPasswords(t *testing.T) {
	for _, env := range [][]string{nil, {"PARLEY_MONGO_PASSWORD=pppp"}, {"MONGO_ROOT_PASSWORD=rrrr"}, {"PARLEY_MONGO_PASSWORD=", "MONGO_ROOT_PASSWORD=rrrr"}} {
		if _, err := loadCompose(t, env...); err == nil || !strings.Contains(err.Error(), "docker/.env") {
			t.Errorf("with %v: %v", env, err)
		}
	}
	example, err := os.ReadFile("../.env.example")
	must(t, err)
	if strings.Count(string(example), "PASSWORD=\n") != 2 {
		t.Error("docker/.env.example has a password")
	}
}
