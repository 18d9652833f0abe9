//go:build !fault

package crash

// At does nothing: this is a server that is not built to be killed.
func At(Point) {}

// Next reports whether the next At of p kills the process: never.
func Next(Point) bool { return false }
