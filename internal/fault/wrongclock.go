package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// clockSetting is as internal/clock reads it.
const clockSetting = "PARLEY_CLOCK"

// clock is how wrong a server's clock is.
type clock struct {
	file string
	by   time.Duration
}

// clock makes one, and the configuration of a server that goes by it.
func (l *Lab) clock(by time.Duration, env ...string) (*clock, server.Config, error) {
	folder, err := os.MkdirTemp(l.Folder, "clock-")
	if err != nil {
		return nil, server.Config{}, fmt.Errorf("make a clock: %w", err)
	}
	c := &clock{file: filepath.Join(folder, "by")}
	config := server.Config{Binary: l.FaultBinary, Env: append([]string{server.DemoSite, clockSetting + "=" + c.file}, env...)}
	return c, config, c.set(by)
}

// set makes the clock as wrong as by. A server that runs notices within moments.
func (c *clock) set(by time.Duration) error {
	c.by = by
	if err := os.WriteFile(c.file, []byte(by.String()), 0o600); err != nil {
		return fmt.Errorf("set a clock: %w", err)
	}
	return nil
}

// clockNoticed is how long a server may take to see its clock changed.
const clockNoticed = 20 * time.Millisecond

// wrongClock puts the server's clock ahead and back by an hour, while it runs and
// between two runs, has it pass a leap day and the ends of summer time, and lets
// clients live in 1970 and 2099.
func wrongClock(ctx context.Context, l *Lab) error {
	for n := range l.Rounds {
		by, restart := time.Hour, n%4 >= 2
		if n%2 == 0 {
			by = -by
		}
		if err := l.jumps(ctx, by, restart); err != nil {
			return fmt.Errorf("round %d, %v, restart %t: %w", n+1, by, restart, err)
		}
	}
	moments := calendar
	if !l.Soak {
		moments = moments[:1]
	}
	for _, c := range moments {
		if err := l.passes(ctx, c.zone, c.at); err != nil {
			return fmt.Errorf("%s %s: %w", c.zone, c.at, err)
		}
	}
	for _, year := range []int{1970, 2099} {
		if err := l.clientIn(ctx, year); err != nil {
			return fmt.Errorf("a client in %d: %w", year, err)
		}
	}
	return nil
}

// calendar is what clocks have stumbled over, and where.
var calendar = []struct{ zone, at string }{
	{"UTC", "2028-02-28T23:59:59Z"},
	{"UTC", "2028-02-29T23:59:59Z"},
	{"Europe/Berlin", "2027-10-31T00:59:59Z"},
	{"America/New_York", "2027-03-14T06:59:59Z"},
	{"UTC", "2026-12-31T23:59:59Z"},
	{"UTC", "2038-01-19T03:14:06Z"},
}

// before a moment is when a server starts that is to pass it.
const before = 2 * time.Second

// passes runs a server, from before on, through a moment.
func (l *Lab) passes(ctx context.Context, zone, at string) error {
	moment, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return err
	}
	_, config, err := l.clock(time.Until(moment.Add(-before)), "TZ="+zone)
	if err != nil {
		return err
	}
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, []device.Kind{device.Raw5}, []device.Kind{device.Raw5, device.Raw311}, 20); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		if err := errors.Join(w.load(ctx, 100), sleep(ctx, before/2), w.load(ctx, 100)); err != nil {
			return err
		}
		w.server.Kill()
		if err := w.restart(ctx); err != nil {
			return err
		}
		return w.load(ctx, 100)
	})
}

// clientIn lets devices have a clock that is decades off: ours in Go, which decide by
// it when to renew their tokens, and our TypeScript client.
func (l *Lab) clientIn(ctx context.Context, year int) error {
	_, config, err := l.clock(0)
	if err != nil {
		return err
	}
	return l.alone(ctx, config, func(ctx context.Context, w *world) error {
		wrong := time.Until(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC))
		w.rest.Now = func() time.Time { return time.Now().Add(wrong) }
		if err := w.moveIn(ctx); err != nil {
			return err
		}
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 20); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		page, err := w.page(ctx, wrong)
		if err != nil {
			return err
		}
		w.closers = append(w.closers, page.Kill)
		for range 2 {
			if err := w.forge(ctx, time.Now().Add(wrong)); err != nil {
				return err
			}
			if err := errors.Join(page.Send(20), w.load(ctx, 100)); err != nil {
				return err
			}
			w.server.Kill()
			if err := w.restart(ctx); err != nil {
				return err
			}
		}
		return await(ctx, drainTimeout, func() string {
			if n := page.Pending(); n > 0 {
				return fmt.Sprintf("%d messages of a page are not acknowledged: %v", n, page.Err())
			}
			return ""
		})
	})
}

// page starts our TypeScript client, with a clock that is wrong, as another device of
// the first visitor.
func (w *world) page(ctx context.Context, wrong time.Duration) (*device.Process, error) {
	p := w.publishers[0]
	s, err := w.rest.SameVisitor(ctx, server.SiteKey, p.Session)
	if err != nil {
		return nil, err
	}
	page, err := device.Start(ctx, nil, w.Binary, w.Client, device.Part{
		Kind: device.Web, URL: w.server.URL(), Publishes: true, Conversation: p.Conversation,
		Credentials: s.Credentials(), Skew: wrong.Milliseconds(),
	})
	if err != nil {
		return nil, err
	}
	err = await(ctx, setupTimeout, func() string {
		if page.Shown(p.Conversation) > 0 {
			return ""
		}
		return fmt.Sprintf("a page shows nothing: %v", page.Err())
	})
	w.readers = append(w.readers, latecomer{page, p.Conversation})
	return page, err
}

// forge sends a message that says when, by whom and at which position it is, which
// nobody may believe.
func (w *world) forge(ctx context.Context, when time.Time) error {
	p := w.publishers[0]
	d := parley.NewText(parley.NewID(parley.PrefixMessage), "I was here first")
	r := record{Device: p.Session.ClientID() + " by REST", User: p.Session.User, Event: checker.Sent, Conversation: p.Conversation, ID: d.ID, Type: d.Type, Body: d.Body}
	w.journal.Add(r)
	seq, err := w.rest.Say(ctx, p.Session, p.Conversation, map[string]any{
		"id": d.ID, "type": d.Type, "body": d.Body, "at": when.UnixMilli(), "seq": 1, "count": 1, "sender": server.Agent, "role": "agent",
	})
	if err != nil {
		return err
	}
	r.Event, r.Seq = checker.Acked, seq
	w.journal.Add(r)
	entries, err := w.rest.Entries(ctx, p.Session, p.Conversation)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if off := time.Since(time.UnixMilli(e.At)); e.ID == d.ID && (e.Sender != p.Session.User || off < -time.Minute || off > time.Minute) {
			w.result.problem("a forged message is by %s, %v ago", e.Sender, off)
		}
	}
	return nil
}
