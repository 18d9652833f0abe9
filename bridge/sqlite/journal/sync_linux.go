package journal

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes what was written to f durable. It leaves out the times in the
// inode, which nobody reads.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
