//go:build !unix

package broker

import (
	"math"
	"net"
)

// intakeOf returns how to read from c.
func intakeOf(c net.Conn) intake { return holdingIntake{c} }

// mostFiles is how many sockets the process may have open: nobody says.
func mostFiles() int { return math.MaxInt32 }
