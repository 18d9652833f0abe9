package fault

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/internal/crash"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	crashSetting = "PARLEY_CRASH_AT" // as internal/crash reads it
	reachTimeout = 2 * time.Minute   // a busy machine takes its time for the pages of a checkpoint
	// caughtUpLimit is for what follows ready. The devices look for the server
	// every 100 ms at most.
	caughtUpLimit = 2 * time.Second
	// A reader that is slower than four writers may owe its distance to the time
	// before the crash: beyond so many entries, and with a slow database, another limit holds.
	manyOwed      = 5_000
	manyOwedLimit = 20 * time.Second
)

// passes are the ones that kill: the first, the second, and one in full swing.
// A checkpoint comes with every few megabytes.
func passes(p crash.Point) []int {
	if p == crash.Checkpoint {
		return []int{1, 2, 3}
	}
	return []int{1, 2, 17}
}

// points are those that the server passes: without files of its own it has fewer.
func (l *Lab) points() []crash.Point {
	if l.store == nil {
		return crash.Points()
	}
	return slices.DeleteFunc(crash.Points(), func(p crash.Point) bool {
		switch p {
		case crash.JournalTorn, crash.JournalWritten, crash.ApplyBegin, crash.ApplyInserted,
			crash.ApplySynced, crash.JournalReused, crash.Checkpoint:
			return true
		}
		return false
	})
}

// crashPoints lets the server die at every named point, after restarts of its
// own and under traffic that passes all of them.
func crashPoints(ctx context.Context, l *Lab) error {
	made := 0
	for _, settings := range l.crashes() {
		made += len(settings)
		before := l.result.Report.Lost + l.result.Report.Doubled + l.result.Report.Reordered
		if err := l.crashAt(ctx, settings); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(settings, ", "), err)
		}
		if found := l.result.Report.Lost + l.result.Report.Doubled + l.result.Report.Reordered; found > before {
			l.result.problem("%d findings after %s", found-before, strings.Join(settings, ", "))
		}
	}
	l.result.Rounds = made
	return nil
}

// crashes are where the server dies, for each world in its order. In a test one world
// goes through everything; a whole run gives each point a new one, which makes a finding
// point at its cause. A database that reads everything to find anything gets one for each
// death: what follows the third would wait for all that came before the first.
func (l *Lab) crashes() (worlds [][]string) {
	var all []string
	for _, p := range l.points() {
		var settings []string
		for _, n := range passes(p)[:min(l.Rounds, 3)] {
			if s := fmt.Sprintf("%s:%d", p, n); l.Only == "" || l.Only == s || l.Only == string(p) {
				settings = append(settings, s)
			}
		}
		all = append(all, settings...)
		if len(settings) > 0 {
			worlds = append(worlds, settings)
		}
	}
	switch {
	case !l.Soak && l.Only == "":
		return [][]string{all}
	case l.store != nil:
		return slices.Collect(slices.Chunk(all, 1))
	}
	return worlds
}

func (l *Lab) crashAt(ctx context.Context, settings []string) error {
	return l.within(ctx, server.Config{Binary: l.FaultBinary}, func(ctx context.Context, w *world) error {
		readers := []device.Kind{device.Raw5, device.Paho}
		writers := []device.Kind{device.Raw5, device.Paho, device.Raw311, device.Mosquitto5, device.Tunnelled}
		if err := w.crew(ctx, readers, writers, 30); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		traffic := &traffic{world: w}
		if err := traffic.start(ctx); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		for _, s := range settings {
			if err := traffic.until(ctx, s); err != nil {
				return err
			}
		}
		return traffic.end(ctx)
	})
}

// traffic is what makes the server pass every point.
type traffic struct {
	*world
	paused   atomic.Bool
	offender *offender
}

func (t *traffic) start(ctx context.Context) error {
	session, err := t.rest.Visitor(ctx, server.SiteKey, "offender")
	if err != nil {
		return err
	}
	t.offender = newOffender(t.world, session)
	t.devices.Go(func() { t.offender.run(ctx) })
	newcomer, err := t.rest.Visitor(ctx, server.SiteKey, "newcomer")
	if err != nil {
		return err
	}
	t.devices.Go(func() { t.comeAndGo(ctx, newcomer) })
	t.devices.Go(func() { t.feed(ctx) })
	return nil
}

// until runs a server that dies at the setting, and brings up one that does not.
func (t *traffic) until(ctx context.Context, setting string) error {
	t.server.Kill()
	t.server.Arm(crashSetting + "=" + setting)
	defer t.server.Arm()
	if err := t.server.Launch(); err != nil {
		return err
	}
	select {
	case <-t.server.Exited():
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(reachTimeout):
		t.result.problem("%s was not reached in %v", setting, reachTimeout)
	}
	if !t.Soak {
		return nil
	}
	t.server.Kill()
	t.server.Arm()
	t.paused.Store(true)
	defer t.paused.Store(false)
	if err := t.restart(ctx); err != nil {
		return err
	}
	return t.awaitCaughtUp(ctx)
}

// awaitCaughtUp measures how long it takes from ready until each kind of device
// has seen everything acknowledged that it wrote, and until everything that is
// stored is shown.
func (t *traffic) awaitCaughtUp(ctx context.Context) error {
	began, shown := time.Now(), t.leastShown()
	waiting := slices.Clone(t.publishers)
	err := await(ctx, t.patient(drainTimeout), func() string {
		waiting = slices.DeleteFunc(waiting, func(p *device.Publisher) bool {
			if p.Pending() > 0 {
				return false
			}
			t.result.took(string(p.Kind)+" sent max", time.Since(began), t.limit())
			return true
		})
		if len(waiting) > 0 {
			return fmt.Sprintf("%d writers have messages that are not acknowledged: %s", len(waiting), t.trouble())
		}
		return ""
	})
	if err != nil {
		return err
	}
	heads, err := t.heads(ctx)
	if err != nil {
		return err
	}
	if err := t.awaitShown(ctx, heads, t.patient(drainTimeout)); err != nil {
		t.Log.Warn("a device did not catch up", "err", err)
	}
	took, owed := time.Since(began), -shown
	for _, n := range heads {
		owed += n
	}
	t.Log.Debug("caught up", "ready", t.server.ReadyIn(), "owed", owed, "took", took)
	t.result.measure("entries owed at ready max", float64(owed), "", 0)
	if owed > manyOwed {
		t.result.took(fmt.Sprintf("caught up with more than %d owed max", manyOwed), took, manyOwedLimit)
		return nil
	}
	t.result.took("caught up max", took, t.limit())
	return nil
}

// limit is how long catching up may take. A database that reads everything to find anything
// serves those who come and go, and those who are refused, at the same time.
func (l *Lab) limit() time.Duration {
	if l.store != nil {
		return manyOwedLimit
	}
	return caughtUpLimit
}

// leastShown is how many entries the reader has shown that is farthest behind.
func (t *traffic) leastShown() int {
	least := math.MaxInt
	for _, d := range t.subscribers {
		n := 0
		for _, s := range t.streams {
			n += d.Shown(s.conversation)
		}
		least = min(least, n)
	}
	return least
}

// end brings up a server that stays, and waits for what is settled beside the
// conversations.
func (t *traffic) end(ctx context.Context) error {
	t.server.Kill()
	t.paused.Store(true)
	if err := t.restart(ctx); err != nil {
		return err
	}
	return t.offender.settle(ctx)
}

// kept is how many messages a writer has to send, at least, while it is fed.
func (l *Lab) kept() int {
	if l.store != nil {
		return 10 // it reads everything to find anything
	}
	return 100
}

// feed keeps messages in everybody's outbox.
func (t *traffic) feed(ctx context.Context) {
	for sleep(ctx, poll) == nil {
		if t.paused.Load() {
			continue
		}
		for _, p := range t.publishers {
			enough := t.kept()
			if p.Kind == device.Mosquitto5 { // a process for each
				enough = 3
			}
			for n := p.Pending(); n < enough; n++ {
				p.Send("is anybody there?")
			}
		}
	}
}

// comeAndGo connects, subscribes, unsubscribes and leaves, over and over, with
// and without a session that stays.
func (t *traffic) comeAndGo(ctx context.Context, s *device.Session) {
	for n := 0; sleep(ctx, 4*poll) == nil; n++ {
		token, err := t.rest.Token(ctx, s)
		if err != nil {
			continue
		}
		o := device.Options{Version: device.MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: n%2 == 0}
		if n%4 > 1 {
			o.Version = device.MQTT311
		}
		c, _, err := device.Connect(ctx, t.cable.Addr(), o)
		if err != nil {
			continue
		}
		if c.Subscribe(1, s.Topic("messages", "+")) == nil {
			_, _ = c.Read() // the SUBACK, or the end: both will do
		}
		c.Disconnect()
	}
}
