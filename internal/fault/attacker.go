package fault

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// attacker is a visitor with valid credentials and bad intentions.
type attacker struct {
	world   *world
	session *device.Session
	token   string
}

func (w *world) attacker(ctx context.Context) (*attacker, error) {
	s, err := w.rest.Visitor(ctx, server.SiteKey, "attacker")
	if err != nil {
		return nil, err
	}
	token, err := w.rest.Token(ctx, s)
	return &attacker{w, s, token}, err
}

// connect logs in as who the token says.
func (a *attacker) connect(ctx context.Context, version byte) (*device.Conn, error) {
	c, _, err := device.Connect(ctx, a.world.server.MQTT(), device.Options{
		Version: version, ClientID: a.session.ClientID(), Password: a.token, CleanStart: true,
	})
	return c, err
}

// connectPacket is the attacker's CONNECT, to be made worse.
func (a *attacker) connectPacket(version byte) *packets.Packet {
	return &packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version,
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), ClientIdentifier: a.session.ClientID(), Clean: true, Keepalive: 20,
			UsernameFlag: true, PasswordFlag: true, Password: []byte(a.token),
		},
	}
}

var errNoAnswer = errors.New("no answer")

// tryConnect sends a CONNECT and tells how it was answered: accepted with the
// connection, or refused without. Silence is an error.
func (a *attacker) tryConnect(ctx context.Context, pk *packets.Packet) (*device.Conn, error) {
	socket, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", a.world.server.MQTT())
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := device.NewConn(socket, pk.ProtocolVersion)
	_ = c.Write(pk) // who does not like its beginning may close before the end
	_ = socket.SetReadDeadline(time.Now().Add(12 * time.Second))
	ack, err := c.Read()
	if err == nil && ack.FixedHeader.Type == packets.Connack && ack.ReasonCode == 0 {
		return c, nil
	}
	c.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errNoAnswer
	}
	return nil, nil
}

// silent reports whether nothing but the end comes on the connection within d.
func silent(c *device.Conn, d time.Duration) bool {
	socket, _ := c.Raw()
	_ = socket.SetReadDeadline(time.Now().Add(d)) // fails only on a closed socket
	_, err := c.Read()
	return err != nil
}

// rss is the resident memory of the server in bytes.
func (w *world) rss() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.server.PID()))
	if err != nil {
		return 0, fmt.Errorf("read memory of the server: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("read memory of the server: no VmRSS")
}

const mib = 1 << 20

// growth measures how much the server's memory has grown since before.
func (w *world) growth(before, limit int64) error {
	now, err := w.rss()
	if err != nil {
		return err
	}
	w.result.measure("RSS grown by", float64(max(0, now-before))/mib, "MiB", float64(limit)/mib)
	return nil
}

// once is for a question now and then: it leaves no connection behind.
var once = &http.Client{Timeout: probeLimit, Transport: &http.Transport{DisableKeepAlives: true}}

// metric reads one of the server's counters.
func (w *world) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.Metrics()+"/metrics", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	resp, err := once.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(io.LimitReader(resp.Body, mib)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("read metrics: no %s", name)
}

// awaitAlive fails the run if the server has died of what was sent to it.
func (w *world) awaitAlive() {
	select {
	case <-w.server.Exited():
		w.result.problem("the server has died")
	default:
	}
}
