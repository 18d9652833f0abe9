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
	"syscall"
	"time"
)

// mosquittoDesk is a desk of mosquitto_sub, which keeps its session, and of
// mosquitto_pub, which is another device of the same user: a device has one
// connection.
type mosquittoDesk struct {
	headless
	hand  *Session // of mosquitto_pub
	sub   *exec.Cmd
	ended chan struct{}
}

// NewMosquittoDesk returns a desk of mosquitto's command line, which is away. hand
// is another session of the same user.
func NewMosquittoDesk(ctx context.Context, k Kind, e Endpoint, s, hand *Session) (Desk, error) {
	h, err := newHeadless(ctx, k, e, s)
	d := &mosquittoDesk{headless: h, hand: hand}
	d.publish = d.deliver
	return d, err
}

func (d *mosquittoDesk) Return(ctx context.Context) error {
	token, err := d.endpoint.REST.Token(ctx, d.session)
	if err != nil {
		return err
	}
	args, err := mosquitto(d.endpoint, d.session.ClientID(), token, d.kind.version())
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
			topic = "not a delivery: " + delivery // which is trouble
		}
		d.Deliver(topic, payload)
	}
	_ = d.sub.Wait() // it is told to end, or the server is gone
}

func (d *mosquittoDesk) Leave(context.Context) error {
	if d.sub == nil {
		return nil
	}
	_ = d.sub.Process.Signal(syscall.SIGINT) // fails only if it is gone already
	select {
	case <-d.ended:
	case <-time.After(connectTimeout): // now and then it misses the signal
		_ = d.sub.Process.Kill()
		<-d.ended
	}
	d.sub = nil
	return nil
}

func (d *mosquittoDesk) Close() { _ = d.Leave(context.Background()) } // never fails

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
