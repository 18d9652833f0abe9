//go:build !fault

package clock

import "time"

// Now returns the time.
func Now() time.Time { return time.Now() }
