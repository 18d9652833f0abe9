//go:build unix && !linux

package demo

import "syscall"

// ownGroup keeps Ctrl-C in the terminal from reaching the child before we tell
// it to stop.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
