package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// checkPorts finds out whether everybody will be able to listen before anything
// is written, and names every setting to change if not: the server's own error
// would be deep in its log.
func (d *Demo) checkPorts(ctx context.Context) error {
	o := d.options
	var bad []error
	for _, port := range []struct{ flag, address string }{
		{"http", o.HTTP}, {"mqtt", o.MQTT}, {"metrics", o.Metrics}, {"page", o.Page},
	} {
		if port.flag == "metrics" && port.address == "off" {
			continue
		}
		l, err := listen(ctx, port.flag, port.address)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		l.Close()
	}
	return errors.Join(bad...)
}

// listen listens on the address that a flag has given.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	host, port, _ := net.SplitHostPort(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %s is in use: stop the program that listens there, or choose another port: %s",
			port, setting(flag, net.JoinHostPort(host, another(port))))
	}
	return nil, fmt.Errorf("listen on --%s %s: %w", flag, address, err)
}

// setting is how to give a flag the value: a target of make takes no flags, but
// passes its environment on.
func setting(flag, value string) string {
	if flag == "page" {
		return "parley demo --page " + value
	}
	return fmt.Sprintf("parley demo --%s %s, or PARLEY_%s=%s make run", flag, value, strings.ToUpper(flag), value)
}

// another is a port to suggest in the place of one that is taken.
func another(port string) string {
	if len(port) < 5 {
		return "1" + port // 8080 becomes 18080
	}
	return "0"
}
