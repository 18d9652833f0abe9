package server

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles cmd/parley of the module around the working directory into dir
// and returns the path of the binary. With race, it carries the race detector,
// which needs cgo. With the tag "fault" it dies where PARLEY_CRASH_AT says, and takes
// a database that loses updates, as that of tests does.
func Build(ctx context.Context, dir string, race bool, tags ...string) (string, error) {
	binary := filepath.Join(dir, strings.Join(append([]string{"parley"}, tags...), "-"))
	args := []string{"build", "-o", binary, "-tags", strings.Join(tags, ",")}
	if race {
		args = append(args, "-race")
	}
	args = append(args, "github.com/parley-chat/parley/cmd/parley")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build parley: %w\n%s", err, out)
	}
	return binary, nil
}
