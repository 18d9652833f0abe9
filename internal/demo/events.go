package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
)

// picture is everything the page shows besides the devices themselves.
type picture struct {
	Server serverStatus        `json:"server"`
	Cables map[deviceName]bool `json:"cables"` // whether it is plugged in
	Score  Score               `json:"score"`
}

func (d *Demo) picture() picture {
	p := picture{Server: d.server.status(), Cables: map[deviceName]bool{}, Score: d.referee.score()}
	for _, c := range d.cables {
		p.Cables[c.device] = !c.Frozen()
	}
	return p
}

// serveEvents tells the page what is new, as server-sent events.
func (d *Demo) serveEvents(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for {
		changed := d.news.wait()
		data, err := json.Marshal(d.picture())
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil || flush.Flush() != nil {
			return
		}
		if !pause(r.Context(), pageLeast, nil) || !pause(r.Context(), pageBeat-pageLeast, changed) {
			return
		}
	}
}

// pause waits for d or until wake is closed. It reports whether ctx is still
// good.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// terminalLine signs the agent in on a new device, and returns the mosquitto
// command that is this device.
func (d *Demo) terminalLine(ctx context.Context) (string, error) {
	o := d.options
	session, err := d.rest.Agent(ctx, o.Site, o.Agents[0].Email, o.Agents[0].Password)
	if err != nil {
		return "", fmt.Errorf("sign in for the terminal: %w", err)
	}
	token, err := d.rest.Token(ctx, session)
	if err != nil {
		return "", err
	}
	return mosquittoLine(o.MQTT, session, token)
}

func mosquittoLine(address string, s *device.Session, token string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	const week = 7 * 24 * 3600 // seconds that the server remembers where this device is
	return fmt.Sprintf("mosquitto_sub -h %s -p %s -V 5 -c -x %d -q 1 -i %s -u x -P %s -t '%s'",
		host, port, week, s.ClientID(), token, s.Topic(parley.TopicMessages, parley.Any)), nil
}
