package demo

import "syscall"

// ownGroup keeps Ctrl-C in the terminal from reaching the child before we tell
// it to stop.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
