package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/parley-chat/parley/internal/fault/proxy"
)

// deviceName names one of the devices on the page.
type deviceName string

// The devices: a visitor, and one agent twice.
const (
	deviceVisitor deviceName = "visitor"
	devicePC      deviceName = "pc"
	deviceTablet  deviceName = "tablet"
)

// deviceNames in the order of the page.
func deviceNames() []deviceName { return []deviceName{deviceVisitor, devicePC, deviceTablet} }

// firstCablePort is the port of the first device. They stay the same from one
// run to the next where possible, since a browser's storage, and with it the
// device, belongs to the port.
const firstCablePort = 8081

// cable is the network of one device.
type cable struct {
	device deviceName
	*proxy.Proxy
}

func (c *cable) origin() string { return "http://" + c.Addr() }

// layCables gives each device a port in front of target.
func (d *Demo) layCables(ctx context.Context, target string) error {
	for i, name := range deviceNames() {
		p, err := listenCable(context.WithoutCancel(ctx), firstCablePort+i, target)
		if err != nil {
			return fmt.Errorf("lay the cable of %s: %w", name, err)
		}
		d.onClose(p.Close)
		d.cables = append(d.cables, &cable{device: name, Proxy: p})
	}
	return nil
}

// listenCable takes port, or any free one when that is taken.
func listenCable(ctx context.Context, port int, target string) (*proxy.Proxy, error) {
	p, err := proxy.ListenAt(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), target)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		return proxy.Listen(ctx, target)
	}
	return p, err
}

func (d *Demo) cable(name deviceName) *cable {
	for _, c := range d.cables {
		if c.device == name {
			return c
		}
	}
	return nil
}

func (d *Demo) deviceOrigins() []string {
	var origins []string
	for _, c := range d.cables {
		origins = append(origins, c.origin())
	}
	return origins
}
