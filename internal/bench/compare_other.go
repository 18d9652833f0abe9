//go:build !linux

package bench

import (
	"context"
	"errors"
)

// Compare needs Linux: the load is driven by epoll, and /proc tells what it
// costs.
func Compare(context.Context, CompareOptions) (*Comparison, error) {
	return nil, errors.New("the comparison runs on Linux only")
}
