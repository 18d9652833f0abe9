package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errSharing is Windows' ERROR_SHARING_VIOLATION.
const errSharing = syscall.Errno(32)

// lockFolder opens the lock as a file that nobody else may have open.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("open the store's lock: %w", err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharing) {
		return nil, fmt.Errorf("the folder %s %w", dir, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the folder %s: %w", dir, err)
	}
	return os.NewFile(uintptr(h), path), nil
}

// syncDir does nothing: Windows cannot sync folders, NTFS has a log for them.
func syncDir(string) error { return nil }
