package demo

import "syscall"

// ownGroup keeps Ctrl-C in the terminal from reaching the child before we tell
// it to stop, and has the kernel stop the child when we die without a word.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
