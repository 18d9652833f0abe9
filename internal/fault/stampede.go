package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	crowds      = 2    // processes
	stampedeRSS = 1500 // MB
	gatherLimit = 4 * time.Minute
	calmTime    = 3 * time.Second
	pairLimit   = 500 // ms
)

// stampede kills the server of many devices, which all come back at once: half of
// them go on with their sessions, with messages that they have missed and some to
// send; the others only connect. Then all connections are cut, while others write
// to each other.
func stampede(ctx context.Context, l *Lab) error { return l.stampede(ctx, false, 30*time.Second) }

// stampedeTLS is the same with TLS ended in front of the server, and a whole
// handshake for each connection.
func stampedeTLS(ctx context.Context, l *Lab) error { return l.stampede(ctx, true, 60*time.Second) }

func (l *Lab) stampede(ctx context.Context, secured bool, limit time.Duration) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		var all herd
		for i := range crowds {
			c, err := w.crowd(ctx, i, w.Rounds/crowds, secured)
			if err != nil {
				return err
			}
			defer c.end()
			all = append(all, c)
		}
		if err := w.gather(ctx, all); err != nil {
			return err
		}
		came, err := w.metric(ctx, "parley_store_writes_total")
		if err != nil {
			return err
		}
		if err := w.stampedeAfterKill(ctx, all, limit); err != nil {
			return err
		}
		back, err := w.metric(ctx, "parley_store_writes_total")
		if err != nil {
			return err
		}
		devices := float64(w.Rounds)
		w.result.measure("writes to the store for each that came", came/devices, "", 0)
		w.result.measure("and for each that came back", back/devices, "", 2*came/devices)
		if err := w.stampedeBesideOthers(ctx, all, limit); err != nil {
			return err
		}
		return w.judgeHerd(ctx, all, secured)
	})
}

// gather waits until everybody is there and has said a word.
func (w *world) gather(ctx context.Context, all herd) error {
	if err := all.await(ctx, gatherLimit); err != nil {
		return fmt.Errorf("gather: %w", err)
	}
	if err := all.tell(device.CrowdSay); err != nil {
		return err
	}
	if err := all.await(ctx, gatherLimit); err != nil {
		return fmt.Errorf("first words: %w", err)
	}
	return nil
}

// stampedeAfterKill kills the server, twice: in between everybody misses something.
func (w *world) stampedeAfterKill(ctx context.Context, all herd, limit time.Duration) error {
	if err := all.tell(device.CrowdHold); err != nil {
		return err
	}
	if err := all.awaitObeyed(ctx); err != nil {
		return err
	}
	w.server.Kill()
	if err := w.restart(ctx); err != nil {
		return err
	}
	if err := all.tell(device.CrowdPost); err != nil {
		return err
	}
	if err := all.awaitObeyed(ctx); err != nil {
		return err
	}
	w.server.Kill()
	if err := all.tell(device.CrowdSay, device.CrowdCome); err != nil { // into nothing
		return err
	}
	if err := all.awaitObeyed(ctx); err != nil {
		return err
	}
	if err := w.restart(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := all.await(ctx, gatherLimit); err != nil {
		return fmt.Errorf("come back: %w", err)
	}
	w.result.took("all back and caught up", time.Since(began), limit)
	return w.measureRSS()
}

func (w *world) measureRSS() error {
	rss, err := w.rss()
	if err != nil {
		return err
	}
	w.result.measure("RSS", float64(rss)/1e6, "MB", stampedeRSS)
	return nil
}

// stampedeBesideOthers cuts all connections but those of pairs that write to each
// other, and measures how long their messages take while the others come back.
func (w *world) stampedeBesideOthers(ctx context.Context, all herd, limit time.Duration) error {
	pairs, err := w.pairs(ctx, min(100, max(2, w.Rounds/20)))
	if err != nil {
		return err
	}
	if err := sleep(ctx, calmTime); err != nil {
		return err
	}
	w.result.measure("p99 of pairs before", milliseconds(pairs.quantile(0.99)), "ms", 0)
	began := time.Now()
	if err := all.tell(device.CrowdCut); err != nil {
		return err
	}
	if err := all.await(ctx, gatherLimit); err != nil {
		return fmt.Errorf("come back after a cut: %w", err)
	}
	w.result.took("all back after a cut", time.Since(began), limit)
	w.result.count("messages of pairs meanwhile", pairs.count())
	w.result.measure("p99 of pairs meanwhile", milliseconds(pairs.quantile(0.99)), "ms", pairLimit)
	return w.measureRSS()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (w *world) judgeHerd(ctx context.Context, all herd, secured bool) error {
	for _, c := range all {
		if err := c.judge(ctx, w); err != nil {
			return err
		}
		w.result.count("attempts to connect", int(c.latest.Attempts))
		if secured {
			w.result.count("TLS handshakes", int(c.latest.Secured))
		}
		if c.latest.Forgotten > 0 {
			w.result.problem("%d sessions were gone when their devices came back", c.latest.Forgotten)
		}
	}
	turned, err := w.metric(ctx, "parley_mqtt_connections_turned_away_total")
	if err != nil {
		return err
	}
	w.result.count("turned away", int(turned))
	return nil
}
