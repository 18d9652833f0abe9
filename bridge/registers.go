package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-chat/parley"
)

// UserRegister is a row of the projection of personal registers.
type UserRegister struct {
	Site string
	User string
	parley.Register
}

// EmptyRegisters is how many empty registers of a user a store remembers at
// least, the newest ones. An older one is as one that was never set.
const EmptyRegisters = 100

// Set sets a personal register of who if it still has the version that the draft
// is based on, and returns when that is durable; the new version is the Seq of
// the answer's entry. It is idempotent by the draft's id. A refusal is in the
// answer's Err: CodeStale, with the register as it is now, if somebody was
// faster. A non-nil error is temporary: setting again is always safe.
func (b *Bridge) Set(ctx context.Context, who parley.Identity, d parley.SetDraft) (parley.Appended, error) {
	entry, err := b.setEntry(who, d)
	if err != nil {
		return parley.Appended{}, err
	}
	stream := parley.EventsOf(who.Site, who.User)
	for range maxDecisions {
		now, err := b.register(ctx, who, d.Key)
		if err != nil {
			return parley.Appended{}, fmt.Errorf("read register: %w", err)
		}
		refusal := now.refuse(d)
		expect := now.newest
		if refusal != nil {
			if expect == 0 {
				return b.counted(parley.Appended{Err: refusal}), nil
			}
			expect = 0 // stores nothing, but tells whether it is there already
		}
		answers, err := b.store.Append(ctx, stream, []parley.Entry{entry}, expect)
		if err != nil {
			return parley.Appended{}, fmt.Errorf("append register: %w", err)
		}
		switch stale := errors.Is(answers[0].Err, parley.ErrStale); {
		case !stale:
			if answers[0].Err != nil {
				answers[0].Err = parley.ErrorOf(answers[0].Err).About(d.ID)
			}
			return b.counted(answers[0]), nil
		case refusal != nil:
			return b.counted(parley.Appended{Err: refusal}), nil
		}
		b.stats.retries.Add(1)
	}
	return parley.Appended{}, parley.Errorf(parley.CodeUnavailable, "your settings are changing too fast; send again")
}

func (b *Bridge) counted(a parley.Appended) parley.Appended {
	b.count([]parley.Appended{a})
	return a
}

func (b *Bridge) setEntry(who parley.Identity, d parley.SetDraft) (parley.Entry, error) {
	body, err := parley.EncodeBody(parley.SetBody{Key: d.Key, Value: d.Value, BasedOn: d.BasedOn})
	if err != nil {
		return parley.Entry{}, fmt.Errorf("encode register: %w", err)
	}
	return b.entry(who, parley.Draft{ID: d.ID, Type: parley.EntrySet, Body: body}), nil
}

// registerNow is a register, and what it takes to decide about it.
type registerNow struct {
	parley.Register
	newest int64 // version of all of the user's registers
	full   bool  // the user has as many as there may be
}

func (now registerNow) refuse(d parley.SetDraft) *parley.Error {
	if d.BasedOn != now.Version {
		e := parley.Errorf(parley.CodeStale, "the register has changed since: it has version %d now", now.Version).About(d.ID)
		e.Current = &now.Register
		return e
	}
	if now.full && now.empty() && string(d.Value) != "null" {
		return parley.Errorf(parley.CodeTooLarge, "a user has at most %d registers; empty some", parley.MaxRegisters).About(d.ID)
	}
	return nil
}

func (now registerNow) empty() bool { return string(now.Value) == "null" }

// register returns a register as it is after everything that was durable before
// the call.
func (b *Bridge) register(ctx context.Context, who parley.Identity, key string) (registerNow, error) {
	now := registerNow{Register: parley.Register{Key: key, Value: json.RawMessage("null")}}
	all, err := b.registers(ctx, who)
	filled := 0
	for _, r := range all {
		now.newest = max(now.newest, r.Version)
		if string(r.Value) != "null" {
			filled++
		}
		if r.Key == key {
			now.Register = r
		}
	}
	now.full = filled >= parley.MaxRegisters
	return now, err
}

// Registers returns the personal registers of who, by key, with everything that
// was acknowledged before the call, and a position of the events from which on
// their changes are to be followed. Empty ones may be missing.
func (b *Bridge) Registers(ctx context.Context, who parley.Identity) (all []parley.Register, after int64, err error) {
	if after, err = b.Head(ctx, parley.EventsOf(who.Site, who.User)); err != nil {
		return nil, 0, fmt.Errorf("read head: %w", err)
	}
	all, err = b.registers(ctx, who)
	return all, after, err
}

func (b *Bridge) registers(ctx context.Context, who parley.Identity) ([]parley.Register, error) {
	if err := b.follower.barrier(ctx); err != nil {
		return nil, fmt.Errorf("wait for the log: %w", err)
	}
	pending := b.projector.pendingRegisters(who.Site, who.User) // first: what is written meanwhile is in the store then
	stored, err := b.store.Registers(ctx, who.Site, who.User)
	if err != nil {
		return nil, err
	}
	byKey := map[string]parley.Register{}
	for _, r := range append(stored, pending...) {
		if r.Version >= byKey[r.Key].Version {
			byKey[r.Key] = r
		}
	}
	return slices.SortedFunc(maps.Values(byKey), func(a, b parley.Register) int { return strings.Compare(a.Key, b.Key) }), nil
}

// registerOf returns the row that an entry of a user's events sets; ok is false
// for entries that set nothing.
func registerOf(e *parley.Entry) (row UserRegister, ok bool) {
	topic, err := parley.ParseTopic(e.Stream.Topic())
	if err != nil || topic.Kind != parley.TopicEvents || e.Type != parley.EntrySet {
		return row, false
	}
	var body parley.SetBody
	err = json.Unmarshal(e.Body, &body)
	return UserRegister{
		Site: topic.Site, User: topic.User,
		Register: parley.Register{Key: body.Key, Value: body.Value, Version: e.Seq},
	}, err == nil
}
