package checker

import (
	"encoding/json"

	"github.com/parley-chat/parley"
)

// checkRegisters goes through the sets among a user's events: each knew the one
// before it, and the last ones are what the store says the registers are.
func (c *check) checkRegisters(s Stream) {
	if s.Registers == nil {
		return
	}
	r := c.report
	now := map[string]parley.Register{}
	for i := range s.Entries {
		e := &s.Entries[i]
		if e.Type != parley.EntrySet {
			continue
		}
		set, ok := setOf(e)
		if !ok {
			r.find(&r.Changed, "%s: seq %d sets no register", s.Conversation, e.Seq)
			continue
		}
		was := now[set.Key]
		forgotten := set.BasedOn == 0 && string(was.Value) == "null"
		if set.BasedOn != was.Version && !forgotten {
			r.find(&r.Reordered, "%s: seq %d sets %s without knowing version %d", s.Conversation, e.Seq, set.Key, was.Version)
		}
		now[set.Key] = parley.Register{Key: set.Key, Value: set.Value, Version: e.Seq}
	}
	for _, is := range *s.Registers {
		should, known := now[is.Key]
		delete(now, is.Key)
		switch {
		case !known:
			r.find(&r.Unexplained, "%s: register %s was never set", s.Conversation, is.Key)
		case is.Version < should.Version:
			r.find(&r.Lost, "%s: register %s has version %d, %d is stored", s.Conversation, is.Key, is.Version, should.Version)
		case is.Version > should.Version || !sameBody(is.Value, should.Value):
			r.find(&r.Changed, "%s: register %s is not what seq %d has set", s.Conversation, is.Key, should.Version)
		}
	}
	for key, lost := range now {
		if string(lost.Value) != "null" {
			r.find(&r.Lost, "%s: register %s is not there, seq %d has set it", s.Conversation, key, lost.Version)
		}
	}
}

func setOf(e *parley.Entry) (set parley.SetBody, ok bool) {
	return set, e.Type == parley.EntrySet && json.Unmarshal(e.Body, &set) == nil
}

// checkTold looks at refusals because somebody was faster: each tells the register
// as somebody has set it, and not as the sender knew it.
func (c *check) checkTold(journals [][]Record) {
	r := c.report
	sent := map[letter]parley.SetBody{}
	for rec := range each(journals) {
		if rec.Event == Sent && rec.Type == parley.EntrySet {
			var set parley.SetBody
			if json.Unmarshal(rec.Body, &set) == nil {
				sent[letter{rec.Device, rec.ID}] = set
			}
		}
		if rec.Event != Told || rec.Code != parley.CodeStale {
			continue
		}
		r.Stale++
		set, known := sent[letter{rec.Device, rec.ID}]
		switch {
		case !known:
			r.find(&r.Unexplained, "%s: refused set %s was never sent", rec.Device, rec.ID)
		case rec.Current == nil:
			r.find(&r.Lost, "%s: refused set %s was not told what the register is", rec.Device, rec.ID)
		case rec.Current.Version == set.BasedOn:
			r.find(&r.Unexplained, "%s: set %s was refused, and had the version that it knew", rec.Device, rec.ID)
		case !c.wasSo(rec.Conversation, set.Key, rec.Current):
			r.find(&r.Changed, "%s: refused set %s was told what the register never was", rec.Device, rec.ID)
		}
	}
}

// wasSo reports whether a user's register has ever been current.
func (c *check) wasSo(user, key string, current *parley.Register) bool {
	if current.Key != key {
		return false
	}
	if current.Version == 0 {
		return string(current.Value) == "null"
	}
	s := c.stored[user]
	if s == nil || s.bySeq[current.Version] == nil {
		return false
	}
	set, ok := setOf(s.bySeq[current.Version])
	return ok && set.Key == key && sameBody(set.Value, current.Value)
}
