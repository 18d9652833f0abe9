//go:build !linux

package leash

import "os/exec"

func tie(*exec.Cmd) {}
