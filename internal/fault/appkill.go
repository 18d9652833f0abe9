package fault

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// appKill ends apps, processes with an outbox file each, with SIGKILL while
// they send, and starts them again on their files.
func appKill(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		agent, reader, err := w.agent(ctx, device.Raw5)
		if err != nil {
			return err
		}
		var apps []*app
		for _, kind := range []device.Kind{device.Raw5, device.Paho, device.Raw311} {
			a, err := w.app(ctx, kind)
			if err != nil {
				return err
			}
			defer a.end()
			reader.Follow(a.part.Conversation, 0)
			if err := w.claim(ctx, agent, a.part.Conversation); err != nil {
				return err
			}
			apps = append(apps, a)
		}
		for range w.Rounds {
			for _, a := range apps {
				if err := a.round(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// app is a publisher in a process of its own.
type app struct {
	world   *world
	part    device.Part
	process *device.Process
}

// app makes an app whose first message opens its conversation.
func (w *world) app(ctx context.Context, kind device.Kind) (*app, error) {
	session, err := w.rest.Visitor(ctx, server.SiteKey, "app")
	if err != nil {
		return nil, err
	}
	a := &app{world: w, part: device.Part{
		Kind: kind, Publishes: true, URL: w.server.URL(), MQTT: w.cable.Addr(), Window: 30,
		Conversation: parley.NewID(parley.PrefixConversation), Credentials: session.Credentials(),
		Outbox: filepath.Join(w.Folder, session.User),
	}}
	w.streams = append(w.streams, stream{a.part.Conversation, session})
	w.journals = append(w.journals, a.records)
	if err := a.start(ctx); err != nil {
		return nil, err
	}
	if err := a.process.Send(1); err != nil {
		return nil, err
	}
	return a, a.awaitEmpty(ctx, 1)
}

func (a *app) start(ctx context.Context) (err error) {
	a.process, err = device.Start(ctx, nil, a.world.Binary, "", a.part)
	return err
}

func (a *app) end() { a.process.Kill() }

// records is what the outbox file holds: the journal that survives.
func (a *app) records() []checker.Record {
	records, err := device.ReadOutbox(a.part.Outbox)
	if err != nil {
		a.world.result.problem("%v", err)
	}
	return records
}

// round lets the app send, kills it somewhere in that, and starts it again.
func (a *app) round(ctx context.Context) error {
	if err := a.process.Send(300); err != nil {
		return err
	}
	if err := sleep(ctx, a.world.below(40*time.Millisecond)); err != nil {
		return err
	}
	a.process.Kill()
	if err := a.start(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := a.awaitEmpty(ctx, 1); err != nil {
		return err
	}
	a.world.result.took("outbox empty max", time.Since(began), 5*time.Second)
	return nil
}

// awaitEmpty waits until at least n messages, and all that are in the file, are
// settled.
func (a *app) awaitEmpty(ctx context.Context, n int) error {
	return await(ctx, roundTimeout, func() string {
		open, settled := map[string]bool{}, 0
		for _, r := range a.records() {
			if r.Event == checker.Sent {
				open[r.ID] = true
				continue
			}
			delete(open, r.ID)
			settled++
		}
		if len(open) > 0 || settled < n {
			return fmt.Sprintf("%d messages are in an outbox, %d were settled: %v", len(open), settled, a.process.Err())
		}
		return ""
	})
}
