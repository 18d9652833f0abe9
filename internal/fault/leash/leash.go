// Package leash starts processes that do not outlive this one, even if it is
// killed, where the system can do that: on Linux.
package leash

import (
	"os/exec"
	"runtime"
)

// Hold makes cmd, which is not started yet, end with this process, and keeps the
// calling goroutine on its thread until the returned function is called: the system
// ends the process as well when the thread ends that has started it. Start it and
// wait for it in between, in the same goroutine.
func Hold(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	tie(cmd)
	return runtime.UnlockOSThread
}

// Start starts cmd, held like that, and returns a channel that is closed when it has
// ended. How it ended, its ProcessState tells then.
func Start(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	ended, started := make(chan struct{}), make(chan error)
	go func() {
		defer close(ended)
		defer Hold(cmd)()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return ended, <-started
}
