package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// desks are devices of one agent that have to show the same, a colleague who
// takes conversations away, and what is done on them.
type desks struct {
	*world
	all       []*desk
	colleague *device.Session
	within    time.Duration // how soon all have to be equal
	journal   checker.Journal
	quiet     []time.Duration // how soon they were, for each script
	settings  int
	steps     int
	recounted int
	edited    int
	late      int
}

// desk is one of the devices. What is done on it while it is away is done when it
// comes back, in the same order; a page sees to that by itself.
type desk struct {
	device.Desk
	away  bool
	later []func(context.Context) error
}

// talk is a conversation of a script, and what of it is known for certain.
type talk struct {
	visitor *device.Publisher
	id      string
	head    int64 // of marks that are not beyond it
	open    bool  // the agent of the desks is responsible
	closed  bool
	hidden  bool             // from the agent of the desks: a colleague has taken it
	amended []checker.Record // sent by devices: edits and deletes
}

// desksOf starts a device of each kind, all of one agent.
func (w *world) desksOf(ctx context.Context, within time.Duration, kinds ...device.Kind) (*desks, error) {
	d := &desks{world: w, within: within}
	w.journals = append(w.journals, d.journal.Records)
	w.closers = append(w.closers, func() {
		for _, one := range d.all {
			one.Close()
		}
	})
	var err error
	if d.colleague, err = w.rest.Agent(ctx, server.Site, server.SecondEmail, server.Password); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		one, err := w.desk(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		d.all = append(d.all, &desk{Desk: one})
	}
	return d, nil
}

// desk starts a device that is connected.
func (w *world) desk(ctx context.Context, kind device.Kind) (one device.Desk, err error) {
	if kind == device.Chromium {
		files := device.PageFiles{
			Client:     w.Client,
			Playwright: filepath.Join(filepath.Dir(w.Client), "..", "..", "node_modules", "playwright-core", "index.mjs"),
		}
		return device.NewPage(ctx, files, w.server.HTTP(), server.Site, server.AgentEmail, server.Password)
	}
	sessions := make([]*device.Session, 2)
	for i := range sessions {
		if sessions[i], err = w.rest.Agent(ctx, server.Site, server.AgentEmail, server.Password); err != nil {
			return nil, err
		}
	}
	if kind == device.Paho {
		one, err = device.NewPahoDesk(ctx, w.endpoint(), sessions[0])
	} else {
		one, err = device.NewMosquittoDesk(ctx, kind, w.endpoint(), sessions[0], sessions[1])
	}
	if err != nil {
		return nil, err
	}
	if err := one.Return(ctx); err != nil {
		one.Close()
		return nil, err
	}
	return one, nil
}

// do does something on a device, or later if it is away.
func (one *desk) do(ctx context.Context, act func(context.Context) error) error {
	if _, page := one.Desk.(*device.Page); one.away && !page {
		one.later = append(one.later, act)
		return nil
	}
	return act(ctx)
}

func (one *desk) leave(ctx context.Context) error {
	one.away = true
	return one.Leave(ctx)
}

func (one *desk) comeBack(ctx context.Context) error {
	if !one.away {
		return nil
	}
	if err := one.Return(ctx); err != nil {
		return fmt.Errorf("%s comes back: %w", one.Kind(), err)
	}
	one.away = false
	for _, act := range one.later {
		if err := act(ctx); err != nil {
			return fmt.Errorf("%s does what it was asked while away: %w", one.Kind(), err)
		}
	}
	one.later = nil
	return nil
}

// any draws a device.
func (d *desks) any() *desk { return d.all[d.random.IntN(len(d.all))] }

// watching makes pages follow conversations, or stop that.
func (d *desks) watching(talks []*talk, on bool) error {
	for _, one := range d.all {
		page, ok := one.Desk.(*device.Page)
		if !ok {
			continue
		}
		for _, t := range talks {
			act := page.Release
			if on {
				act = page.Follow
			}
			if err := act(t.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitEqual waits until every device shows what the server says, and measures how
// long after last that was.
func (d *desks) awaitEqual(ctx context.Context, talks []*talk, last time.Time) error {
	ids := idsOf(talks)
	why, late := "", ""
	err := await(ctx, roundTimeout, func() string {
		truth, entries, err := d.rest.Truth(ctx, d.all[0].Session(), ids)
		if err != nil {
			return err.Error()
		}
		for _, one := range d.all {
			if why = d.different(ctx, one, ids, truth); why != "" {
				late = why
				return why
			}
		}
		took := time.Since(last)
		again, _, err := d.rest.Truth(ctx, d.all[0].Session(), ids)
		if err != nil || !reflect.DeepEqual(truth, again) {
			return fmt.Sprintf("the server is not quiet: %v", err)
		}
		d.quiet = append(d.quiet, took)
		if took > d.within/2 {
			d.Log.Debug("equal late", "after", took, "what was last", late)
		}
		d.recount(truth, entries)
		return ""
	})
	if err != nil && why != "" {
		d.result.problem("not equal: %v", err)
		return nil
	}
	return err
}

// different tells what a device shows that is not the truth. Closed conversations
// are in no list of what is current: a device may have forgotten them.
func (d *desks) different(ctx context.Context, one *desk, ids []string, truth device.View) string {
	shown, err := one.View(ctx, ids)
	if err != nil {
		return err.Error()
	}
	for _, id := range ids {
		want, exists := truth.Conversations[id]
		got, there := shown.Conversations[id]
		if exists && got.Texts == nil && want.Assignee != one.Session().User {
			want.Texts = nil // it is sent nothing: it could fetch it
		}
		forgotten := !there && (!exists || want.Status == parley.StatusClosed)
		if !forgotten && !(there && exists && reflect.DeepEqual(want, got)) {
			return fmt.Sprintf("%s shows of %s %s, the server says %s", one.Kind(), id, jsonOf(got), jsonOf(want))
		}
	}
	if _, page := one.Desk.(*device.Page); page {
		truth = truth.Unversioned()
	}
	if !reflect.DeepEqual(shown.Registers, truth.Registers) {
		return fmt.Sprintf("%s shows the registers %s, the server says %s", one.Kind(), jsonOf(shown.Registers), jsonOf(truth.Registers))
	}
	return ""
}

func jsonOf(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// recount counts anew what everybody has not read, and finds the newest text again.
func (d *desks) recount(truth device.View, entries map[string][]parley.Entry) {
	for id, t := range truth.Conversations {
		for _, m := range t.Marks {
			read := int64(0)
			for _, e := range entries[id][:m.Read] {
				if e.Type == parley.EntryText {
					read++
				}
			}
			d.recounted++
			if m.Count != read {
				d.result.problem("%s has read %d messages of %s, recounted %d", m.User, m.Count, id, read)
			}
		}
		own := t.Marks.Of(d.all[0].Session().User)
		if t.Unread != t.Count-own.Count {
			d.result.problem("of %s %d are unread, recounted %d", id, t.Unread, t.Count-own.Count)
		}
		if newest := device.LastText(entries[id]); t.LastText != newest {
			d.result.problem("the state of %s has the last text %q, its messages have %q", id, t.LastText, newest)
		}
	}
}

// conclude writes down how long it took, and what must not have been delivered.
func (d *desks) conclude() {
	for _, one := range d.all {
		for _, trouble := range one.Troubles() {
			d.result.problem("%s: %s", one.Kind(), trouble)
		}
	}
	sorted := slices.Clone(d.quiet)
	slices.Sort(sorted)
	d.result.measure("equal p50", quantile(sorted, 0.5).Seconds(), "s", 0)
	d.result.measure("equal p99", quantile(sorted, 0.99).Seconds(), "s", 0)
	d.result.took("equal max", quantile(sorted, 1), d.within)
	d.result.count("scripts equal", len(sorted))
	d.result.count("steps", d.steps)
	d.result.count("marks recounted", d.recounted)
	d.result.count("edits and deletes", d.edited)
	d.result.count("edits and deletes too late", d.late)
}
