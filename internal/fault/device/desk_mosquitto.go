package device

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/proxy"
)

// mosquittoDesk is a desk of mosquitto_sub, which keeps its session, and of
// mosquitto_pub, which is another device of the same user: a device has one
// connection. mosquitto_sub is behind a cable of its own.
type mosquittoDesk struct {
	headless
	hand  *Session // of mosquitto_pub
	cable *proxy.Proxy
	sub   *exec.Cmd
	ended chan struct{}
	left  int // connections of sub when its cable was pulled
}

// NewMosquittoDesk returns a desk of mosquitto's command line, which is away. hand
// is another session of the same user.
func NewMosquittoDesk(ctx context.Context, k Kind, e Endpoint, s, hand *Session) (Desk, error) {
	h, err := newHeadless(ctx, k, e, s)
	if err != nil {
		return nil, err
	}
	d := &mosquittoDesk{headless: h, hand: hand}
	d.publish = d.deliver
	d.cable, err = proxy.Listen(context.WithoutCancel(ctx), e.MQTT)
	return d, err
}

func (d *mosquittoDesk) Return(ctx context.Context) error {
	if err := d.finish(ctx); err != nil {
		return err
	}
	d.cable.Cut() // what has connected meanwhile
	d.cable.Heal()
	token, err := d.endpoint.REST.Token(ctx, d.session)
	if err != nil {
		return err
	}
	args, err := mosquitto(Endpoint{MQTT: d.cable.Addr()}, d.session.ClientID(), token, d.kind.version())
	if err != nil {
		return err
	}
	args = append(args, "-c", "-d", "-F", deliveryMark+"%t %x")
	if d.kind.version() == MQTT5 {
		args = append(args, "-x", fmt.Sprint(sessionExpiry))
	}
	for _, f := range d.session.filters() {
		args = append(args, "-t", f)
	}
	// Into a pipe it would write what it says beside deliveries a page at a time.
	d.sub = exec.Command("stdbuf", append([]string{"-oL", "mosquitto_sub"}, args...)...)
	d.sub.WaitDelay = connectTimeout
	out, err := d.sub.StdoutPipe()
	if err != nil {
		return fmt.Errorf("mosquitto_sub: %w", err)
	}
	if err := d.sub.Start(); err != nil {
		d.sub = nil
		return fmt.Errorf("mosquitto_sub: %w (apt-get install -y mosquitto-clients)", err)
	}
	subscribed, tell := onceClosed()
	d.ended = make(chan struct{})
	go d.read(out, tell)
	select {
	case <-subscribed:
		return nil
	case <-d.ended:
		return errors.New("mosquitto_sub: it ended before it had subscribed")
	case <-time.After(4 * connectTimeout):
		return errors.New("mosquitto_sub: not subscribed in time")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliveryMark tells deliveries from what mosquitto_sub -d says beside them.
const deliveryMark = "delivery "

func (d *mosquittoDesk) read(out io.Reader, subscribed func()) {
	defer close(d.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4*maxPacket)
	for lines.Scan() {
		delivery, ok := strings.CutPrefix(lines.Text(), deliveryMark)
		if !ok {
			if strings.HasPrefix(lines.Text(), "Subscribed ") {
				subscribed()
			}
			continue
		}
		topic, text, _ := strings.Cut(delivery, " ")
		payload, err := hex.DecodeString(text)
		if err != nil {
			d.trouble(fmt.Errorf("mosquitto_sub printed what is no delivery: %.500q", delivery))
			continue
		}
		d.Deliver(topic, payload)
	}
	_ = d.sub.Wait() // it was killed, or has given up
}

// Leave pulls the cable. A signal would come between an acknowledgement and what is
// printed then, and drop that, or write into the middle of it.
func (d *mosquittoDesk) Leave(context.Context) error {
	if d.sub == nil {
		return nil
	}
	d.cable.Freeze()
	d.left = d.cable.Accepted() // nothing passes on later ones
	d.cable.Cut()
	return nil
}

// finish ends mosquitto_sub, which has left, when it tries to connect again, a second
// later: it does one thing at a time, and has printed by then what it has acknowledged.
func (d *mosquittoDesk) finish(ctx context.Context) error {
	if d.sub == nil {
		return nil
	}
	late := time.After(4 * connectTimeout)
	for d.cable.Accepted() == d.left {
		select {
		case <-d.ended:
			d.sub = nil
			return nil
		case <-late:
			return errors.New("mosquitto_sub: it does not connect again")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.kill()
	return nil
}

func (d *mosquittoDesk) kill() {
	_ = d.sub.Process.Kill() // fails only if it is gone already
	<-d.ended
	d.sub = nil
}

func (d *mosquittoDesk) Close() {
	if d.sub != nil {
		d.kill()
	}
	d.cable.Close()
}

// deliver lets mosquitto_pub send, which ends when it has seen the acknowledgement.
func (d *mosquittoDesk) deliver(ctx context.Context, p publication) error {
	token, err := d.endpoint.REST.Token(ctx, d.hand)
	if err != nil {
		return err
	}
	args, err := mosquitto(d.endpoint, d.hand.ClientID(), token, d.kind.version())
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mosquitto_pub", append(args, "-t", p.topic, "-s")...)
	cmd.Stdin = strings.NewReader(string(p.payload))
	cmd.WaitDelay = connectTimeout
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
	}
	return nil
}
