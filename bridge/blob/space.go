package blob

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/parley-chat/parley"
)

func errFull() *parley.Error {
	return parley.Errorf(parley.CodeUnavailable, "the server has no room for files now; messages without files still work")
}

// orFull names a full disk for what it is to the person who uploads.
func orFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", errFull(), err)
	}
	return err
}
