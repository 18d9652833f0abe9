package device

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/leash"
)

// mosquitto is the command line that its clients have in common.
func mosquitto(e Endpoint, clientID, token string, version byte) ([]string, error) {
	host, port, err := net.SplitHostPort(e.MQTT)
	if err != nil {
		return nil, fmt.Errorf("mosquitto: %w", err)
	}
	v := "311"
	if version == MQTT5 {
		v = "5"
	}
	return []string{"-h", host, "-p", port, "-V", v, "-i", clientID, "-u", clientID, "-P", token, "-q", "1"}, nil
}

// serveMosquitto sends one message per process of mosquitto_pub, which ends
// with 0 when it has seen the acknowledgement. It ends with the first one that
// fails.
func (p *Publisher) serveMosquitto(ctx context.Context, token string) error {
	args, err := mosquitto(p.endpoint, p.Session.ClientID(), token, p.version)
	if err != nil {
		return err
	}
	args = append(args, "-t", p.Session.Topic(parley.TopicSend, p.Conversation), "-s")
	p.outbox.rewind()
	for {
		d, again, ok := p.outbox.take(1)
		if !ok {
			select {
			case <-p.outbox.changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		payload, err := p.note(d, again)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "mosquitto_pub", args...)
		cmd.Stdin = strings.NewReader(string(payload))
		// Without this a pipe that a child holds would keep us.
		cmd.WaitDelay = connectTimeout
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
		}
		p.settle(d.ID, true, 0)
	}
}

// serveMosquitto receives with one process of mosquitto_sub until that ends,
// which it does not do by itself: it connects again like a patient client.
func (d *Subscriber) serveMosquitto(ctx context.Context, token string) error {
	args, err := mosquitto(d.endpoint, d.Session.ClientID(), token, d.version)
	if err != nil {
		return err
	}
	args = append(args, "-c", "-t", d.filter(), "-F", "%t %x")
	if d.version == MQTT5 {
		args = append(args, "-x", fmt.Sprint(sessionExpiry))
	}
	cmd := exec.CommandContext(ctx, "mosquitto_sub", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // it says good-bye, and prints what it has acknowledged
	cmd.WaitDelay = connectTimeout
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("mosquitto_sub: %w", err)
	}
	defer leash.Hold(cmd)()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("mosquitto_sub: %w (apt-get install -y mosquitto-clients)", err)
	}
	time.AfterFunc(mosquittoStart, d.grant)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4*maxPacket)
	for lines.Scan() {
		topic, text, _ := strings.Cut(lines.Text(), " ")
		payload, err := hex.DecodeString(text)
		if err == nil {
			err = d.show(topic, payload)
		}
		if err != nil {
			d.trouble.store(fmt.Errorf("mosquitto_sub printed what is no delivery: %w", err))
		}
	}
	if err := cmd.Wait(); err != nil {
		d.Session.doubt() // perhaps because of the token: it does not say
		return fmt.Errorf("mosquitto_sub: %w", err)
	}
	return errEnded
}

// mosquittoStart is when we believe that mosquitto_sub, which does not tell, has
// subscribed. Who needs to know exactly asks the server.
const mosquittoStart = 500 * time.Millisecond
