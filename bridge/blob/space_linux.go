package blob

import (
	"fmt"
	"math"
	"syscall"
)

// freeSpace returns how many bytes we may still write where path is.
func freeSpace(path string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("look for room: %w", err)
	}
	return int64(min(s.Bavail*uint64(s.Bsize), math.MaxInt64)), nil
}
