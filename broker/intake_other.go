//go:build !unix

package broker

import "net"

// intakeOf returns how to read from c.
func intakeOf(c net.Conn) intake { return holdingIntake{c} }
