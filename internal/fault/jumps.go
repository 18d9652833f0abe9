package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	accessLife   = time.Hour // as the server gives them
	accessLeeway = time.Minute
	shortLife    = 30 * time.Minute // of sleepers' sessions, and of the right to edit: shorter than a jump
	newcomers    = 3                // in a round
)

// jumps puts the clock of a server ahead and back, or back and ahead, while it runs or
// between two runs.
func (l *Lab) jumps(ctx context.Context, by time.Duration, restart bool) error {
	c, config, err := l.clock(0, "PARLEY_EDIT_STAFF="+shortLife.String())
	if err != nil {
		return err
	}
	return l.within(ctx, config, func(ctx context.Context, w *world) error {
		if err := w.crew(ctx, bothReaders[:], everyKind[:], 30); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		j := &jumper{world: w, clock: c, minted: map[string]bool{}}
		if err := j.round(ctx, by, restart); err != nil {
			return err
		}
		return j.timesRise(ctx)
	})
}

type jumper struct {
	*world
	clock  *clock
	minted map[string]bool
}

// round jumps by and back. Somebody is away over each jump back, in a session that is
// shorter than it, and somebody is away all the time.
func (j *jumper) round(ctx context.Context, by time.Duration, restart bool) error {
	absent, err := j.absentee(ctx)
	if err != nil {
		return err
	}
	first, err := j.sleep(ctx)
	if err != nil {
		return err
	}
	said, err := j.say(ctx, parley.NewText("", "as the clock stands"))
	if err != nil {
		return err
	}
	if err := j.jump(ctx, by, restart); err != nil {
		return err
	}
	second, err := j.sleep(ctx)
	if err != nil {
		return err
	}
	if by < 0 { // an hour ahead its time is over
		if err := errors.Join(j.wake(ctx, first, "a session from before the clock went back"), j.edit(ctx, said)); err != nil {
			return err
		}
	}
	if said, err = j.say(ctx, parley.NewText("", "as the clock stands now")); err != nil {
		return err
	}
	if err := errors.Join(j.load(ctx, 50), j.mint(ctx)); err != nil {
		return err
	}
	if err := j.jump(ctx, 0, restart); err != nil {
		return err
	}
	if by > 0 {
		if err := j.edit(ctx, said); err != nil {
			return err
		}
	}
	if err := j.wake(ctx, second, "a session from before the clock was put right"); err != nil {
		return err
	}
	if err := errors.Join(j.load(ctx, 50), j.mint(ctx), j.expiry(ctx)); err != nil {
		return err
	}
	return absent.back(ctx)
}

func (j *jumper) jump(ctx context.Context, to time.Duration, restart bool) error {
	if restart {
		j.server.Kill()
	}
	if err := j.clock.set(to); err != nil {
		return err
	}
	if restart {
		return j.world.restart(ctx)
	}
	return sleep(ctx, clockNoticed)
}

// sleep lets a new device connect and leave.
func (j *jumper) sleep(ctx context.Context) (*device.Session, error) {
	s, err := j.rest.Visitor(ctx, server.SiteKey, "sleeper")
	if err != nil {
		return nil, err
	}
	_, err = j.connect(ctx, s)
	return s, err
}

// wake lets it come back: its session has to be there.
func (j *jumper) wake(ctx context.Context, s *device.Session, what string) error {
	present, err := j.connect(ctx, s)
	if err == nil && !present {
		j.result.problem("%s has ended before its time", what)
	}
	return err
}

func (j *jumper) connect(ctx context.Context, s *device.Session) (present bool, err error) {
	token, err := j.rest.Token(ctx, s)
	if err != nil {
		return false, err
	}
	c, present, err := device.Connect(ctx, j.server.MQTT(), device.Options{
		Version: device.MQTT5, ClientID: s.ClientID(), Password: token, SessionExpiry: uint32(shortLife.Seconds()),
	})
	if err != nil { // whoever has a token gets in, whichever way the clock has gone
		j.result.problem("a token was refused %v off: %v", j.clock.by, err)
		return true, nil
	}
	c.Disconnect()
	return present, nil
}

// say has the agent write by REST, and returns the position.
func (j *jumper) say(ctx context.Context, d parley.Draft) (seq int64, err error) {
	d.ID = parley.NewID(parley.PrefixMessage)
	return j.world.say(ctx, &j.journal, j.subscribers[0].Session, j.publishers[0].Conversation, d)
}

// edit edits what the agent has said before the clock went back, which makes it no
// older.
func (j *jumper) edit(ctx context.Context, seq int64) error {
	body, err := json.Marshal(parley.EditBody{Seq: seq, Text: "said better"})
	if err != nil {
		return fmt.Errorf("encode edit: %w", err)
	}
	_, err = j.say(ctx, parley.Draft{Type: parley.EntryEdit, Body: body})
	if refused := (*parley.Error)(nil); errors.As(err, &refused) {
		j.result.problem("an edit is refused because the clock was put back: %v", refused)
		return nil
	}
	return err
}

// mint makes new visitors: nobody may get an identifier that somebody has had.
func (j *jumper) mint(ctx context.Context) error {
	for range newcomers {
		s, err := j.rest.Visitor(ctx, server.SiteKey, "newcomer")
		if err != nil {
			return err
		}
		for _, id := range []string{s.User, s.Device} {
			if j.minted[id] {
				j.result.problem("%s was given twice", id)
			}
			j.minted[id] = true
		}
	}
	j.result.count("identifiers", 2*newcomers)
	return nil
}

// expiry looks when a token ends: at its end, and a minute later at the latest.
func (j *jumper) expiry(ctx context.Context) error {
	s, err := j.rest.Visitor(ctx, server.SiteKey, "expiring")
	if err != nil {
		return err
	}
	token, err := j.rest.Token(ctx, s)
	if err != nil {
		return err
	}
	for _, at := range []struct {
		life time.Duration
		in   bool
	}{{accessLife - accessLeeway, true}, {accessLife + accessLeeway, false}, {0, true}} {
		if err := j.jump(ctx, at.life, false); err != nil {
			return err
		}
		c, _, err := device.Connect(ctx, j.server.MQTT(), device.Options{Version: device.MQTT5, ClientID: s.ClientID(), Password: token, CleanStart: true})
		if err == nil {
			c.Disconnect()
		}
		if (err == nil) != at.in {
			j.result.problem("a token of %v, %v later: %v", accessLife, at.life, err)
		}
	}
	return nil
}

// timesRise finds entries that seem older than those in front of them.
func (j *jumper) timesRise(ctx context.Context) error {
	if err := j.quiet(ctx); err != nil {
		return err
	}
	streams, err := j.read(ctx)
	if err != nil {
		return err
	}
	for _, s := range streams {
		last := parley.Entry{}
		for _, e := range s.Entries {
			if e.At < last.At {
				j.result.problem("%s: seq %d is older than seq %d", s.Conversation, e.Seq, last.Seq)
			}
			last = e
		}
	}
	return nil
}
