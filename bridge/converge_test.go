package bridge_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// day is how wrong a clock may be.
const day = 24 * time.Hour

// crowd are three devices of one agent, two of a visitor and one of a supervisor,
// what they do, and what must come of it.
type crowd struct {
	*world
	ledger  *ledger
	devices []*replica
	wrong   atomic.Int64 // how wrong the server's clock is
	ids     int
	sent    map[string][]parley.SetDraft // by user
	steps   *atomic.Int64
}

// Whatever three devices of one user mark and set, in whatever order, again and at
// once, while others write and decide, some are away, the server restarts or dies,
// and no clock is right: when all is quiet every device holds field by field what a
// naive ledger says, and so does the store. Nothing that rises goes back meanwhile.
//
// The long run, more than 100,000 steps in some minutes, best with TMPDIR in memory:
//
//	go test ./bridge -run TestDevicesConverge -v -timeout 30m -rapid.checks=1200 -rapid.steps=100
func TestDevicesConverge(t *testing.T) {
	var steps atomic.Int64
	empty := newWorld(t) // copying its folder is much faster than making a new one
	empty.close()
	rapid.Check(t, func(rt *rapid.T) {
		c := newCrowd(t, rt, empty.dir, &steps)
		rt.Repeat(map[string]func(*rapid.T){
			"mark":            c.mark,
			"mark once more":  c.mark,
			"set":             c.set,
			"set once more":   c.set,
			"set again":       c.setAgain,
			"all at once":     c.atOnce,
			"say":             c.say,
			"claim":           c.claim,
			"close":           c.finish,
			"take some":       c.takeSome,
			"take again":      c.takeAgain,
			"go or come back": c.goOrComeBack,
			"install anew":    c.installAnew,
			"clock":           c.clock,
			"restart":         c.restart,
			"quiet":           c.quiet,
		})
		c.quiet(rt)
		c.recount(rt)
		c.close()
	})
	t.Logf("%d steps", steps.Load())
}

func newCrowd(t *testing.T, rt *rapid.T, empty string, steps *atomic.Int64) *crowd {
	people := []parley.Identity{lilei, ann, boss}
	c := &crowd{ledger: newLedger(people...), sent: map[string][]parley.SetDraft{}, steps: steps}
	for _, who := range people {
		for n := range map[string]int{lilei.User: 3, ann.User: 2, boss.User: 1}[who.User] {
			c.devices = append(c.devices, newReplica(who, fmt.Sprintf("%s_%d", who.User, n+1)))
		}
	}
	c.world = &world{T: t, dir: t.TempDir(), options: bridge.Options{NewConversations: 10_000, Now: c.now}}
	c.world.now = c.now
	noError(rt, os.CopyFS(c.dir, os.DirFS(empty)))
	for _, r := range c.devices {
		c.observers = append(c.observers, r.post)
	}
	c.open()
	t.Cleanup(c.world.close)
	for _, id := range []string{"c1", "c2"} {
		d := c.draft(rt)
		c.world.say(ann, id, d)
		c.ledger.open(id, ann, d.ID)
	}
	return c
}

func (c *crowd) now() time.Time { return time.Now().Add(time.Duration(c.wrong.Load())) }

// forged is what a device with a wrong clock adds to what it sends: nobody asks.
func (c *crowd) forged(rt *rapid.T) string {
	clock := rapid.SampledFrom([]int64{-86_400_000, 0, 86_400_000, 4_102_444_800_000}).Draw(rt, "the device's clock")
	return fmt.Sprintf(`"at":%d,"time":%d,"version":%d`, clock, clock, clock)
}

func (c *crowd) id(prefix string) string {
	c.ids++
	return fmt.Sprintf("%s_%06d", prefix, c.ids)
}

func (c *crowd) draft(rt *rapid.T) parley.Draft {
	id := c.id("msg")
	d, err := parley.DecodeDraft(fmt.Appendf(nil, `{"id":%q,"type":"text","body":{"text":"text of %s"},%s}`, id, id, c.forged(rt)))
	noError(rt, err)
	return d
}

// step counts, and draws who acts where.
func (c *crowd) step(rt *rapid.T) (*replica, string, *talk) {
	c.steps.Add(1)
	r := rapid.SampledFrom(c.devices).Draw(rt, "device")
	id := rapid.SampledFrom([]string{"c1", "c2"}).Draw(rt, "conversation")
	return r, id, c.ledger.talks[id]
}

func (c *crowd) mark(rt *rapid.T) {
	r, id, talk := c.step(rt)
	d := c.markDraft(rt, talk.head()+1)
	a, err := c.bridge.Mark(c.Context(), r.who, id, d)
	noError(rt, err)
	if may := talk.mark(r.who, d.Delivered, d.Read); may != (a.Err == nil) {
		rt.Fatalf("%+v by %s of %s: %v", d, r.who.User, id, a.Err)
	}
}

func (c *crowd) markDraft(rt *rapid.T, most int64) parley.MarkDraft {
	up := rapid.Int64Range(0, most)
	d, err := parley.DecodeMark(fmt.Appendf(nil, `{"delivered":%d,"read":%d,%s}`, up.Draw(rt, "delivered"), up.Draw(rt, "read"), c.forged(rt)))
	noError(rt, err)
	return d
}

// set sets a register from what the device knows, which may be old, or makes
// something up.
func (c *crowd) set(rt *rapid.T) {
	r, _, _ := c.step(rt)
	c.send(rt, r, c.setDraft(rt, r, c.id("set")))
}

func (c *crowd) setDraft(rt *rapid.T, r *replica, id string) parley.SetDraft {
	key := rapid.SampledFrom([]string{"tabs", "draft:c1", "mute:c1"}).Draw(rt, "key")
	value := rapid.SampledFrom([]string{`null`, `true`, `{"text":"Dear"}`, `["c1","c2"]`}).Draw(rt, "value")
	basedOn := r.registers[key].Version
	if rapid.IntRange(0, 5).Draw(rt, "guess") == 0 {
		basedOn = rapid.Int64Range(0, 40).Draw(rt, "basedOn")
	}
	d, err := parley.DecodeSet(fmt.Appendf(nil, `{"id":%q,"key":%q,"value":%s,"basedOn":%d,%s}`, id, key, value, basedOn, c.forged(rt)))
	noError(rt, err)
	c.sent[r.who.User] = append(c.sent[r.who.User], d)
	return d
}

// setAgain sends what was sent before, from any device of the same user, in one of
// four cases under its id but with something else.
func (c *crowd) setAgain(rt *rapid.T) {
	r, _, _ := c.step(rt)
	if len(c.sent[r.who.User]) == 0 {
		return
	}
	d := rapid.SampledFrom(c.sent[r.who.User]).Draw(rt, "repeat")
	if rapid.IntRange(0, 3).Draw(rt, "other") == 0 {
		d = c.setDraft(rt, r, d.ID)
	}
	c.send(rt, r, d)
}

func (c *crowd) send(rt *rapid.T, r *replica, d parley.SetDraft) {
	shelf := c.ledger.shelves[r.who.User]
	a, err := c.bridge.Set(c.Context(), r.who, d)
	noError(rt, err)
	c.judge(rt, shelf, d, a)
	if a.Err == nil && !a.Duplicate {
		shelf.set(d, a.Entry.Seq)
	}
}

// judge compares an answer with the one that the ledger gives.
func (c *crowd) judge(rt *rapid.T, shelf *shelf, d parley.SetDraft, a parley.Appended) {
	refusal, repeated := shelf.mustAnswer(d)
	if refusal == "" {
		if a.Err != nil || a.Duplicate != (repeated > 0) || a.Duplicate && a.Entry.Seq != repeated {
			rt.Fatalf("%+v is answered with %+v; repeated %d", d, a, repeated)
		}
		return
	}
	e := parley.ErrorOf(a.Err)
	if e == nil || e.Code != refusal || e.ID != d.ID {
		rt.Fatalf("%+v is answered with %v, want %s", d, a.Err, refusal)
	}
	if now := shelf.now[d.Key]; refusal == parley.CodeStale && (e.Current == nil || e.Current.Version != now.Version || now.Version > 0 && string(e.Current.Value) != string(now.Value)) {
		rt.Fatalf("%+v is told %+v, want %+v", d, e.Current, now)
	}
}

func (c *crowd) say(rt *rapid.T) {
	r, id, talk := c.step(rt)
	d := c.draft(rt)
	answers, err := c.bridge.Record(c.Context(), r.who, id, []parley.Draft{d})
	noError(rt, err)
	if may := talk.say(r.who, d.ID); may != (answers[0].Err == nil) {
		rt.Fatalf("a message by %s in %s: %v", r.who.User, id, answers[0].Err)
	}
}

func (c *crowd) claim(rt *rapid.T) {
	r, id, talk := c.step(rt)
	if !r.who.Role.Staff() {
		return
	}
	_, err := c.bridge.Claim(c.Context(), r.who, id)
	if may := talk.claim(r.who); may != (err == nil) {
		rt.Fatalf("%s claims %s: %v", r.who.User, id, err)
	}
}

func (c *crowd) finish(rt *rapid.T) {
	r, id, talk := c.step(rt)
	if !r.who.Role.Staff() {
		return
	}
	_, err := c.bridge.Finish(c.Context(), r.who, id)
	if may := talk.finish(r.who); may != (err == nil) {
		rt.Fatalf("%s closes %s: %v", r.who.User, id, err)
	}
}

func (c *crowd) takeSome(rt *rapid.T) {
	r, _, _ := c.step(rt)
	r.take(rt, c.world, rapid.IntRange(1, 5).Draw(rt, "entries"))
}

func (c *crowd) takeAgain(rt *rapid.T) {
	r, _, _ := c.step(rt)
	r.again(rt, c.world, rapid.Int64Range(1, 10).Draw(rt, "entries"))
}

func (c *crowd) goOrComeBack(rt *rapid.T) {
	r, _, _ := c.step(rt)
	if r.online = !r.online; r.online {
		r.connect(rt, c.world)
	}
}

func (c *crowd) installAnew(rt *rapid.T) {
	r, _, _ := c.step(rt)
	r.forget()
	r.connect(rt, c.world)
}

// clock makes the server's clock wrong, by a day at most, forwards or backwards.
func (c *crowd) clock(rt *rapid.T) {
	c.steps.Add(1)
	c.wrong.Store(rapid.SampledFrom([]int64{0, int64(day), -int64(day), int64(time.Hour), -int64(time.Second)}).Draw(rt, "wrong by"))
}

// restart ends the server, in order or not, and everybody connects again. It is
// rare: it takes as long as hundreds of other steps.
func (c *crowd) restart(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "restart") > 0 {
		c.mark(rt)
		return
	}
	c.steps.Add(1)
	if rapid.Bool().Draw(rt, "killed") {
		c.closeStore() // under the bridge's feet: nothing more is written
		_ = c.bridge.Close()
	} else {
		c.close()
	}
	c.open()
	for _, r := range c.devices {
		if r.online {
			r.connect(rt, c.world)
		}
	}
}

// quiet lets every device come back and take all there is, and compares.
func (c *crowd) quiet(rt *rapid.T) {
	c.steps.Add(1)
	if _, err := c.bridge.Head(c.Context(), parley.EventsOf(site, ann.User)); err != nil { // waits for all that was told
		rt.Fatal(err)
	}
	for _, r := range c.devices {
		if !r.online {
			r.connect(rt, c.world)
		}
		r.take(rt, c.world, 1_000_000)
		if diff := cmp.Diff(c.ledger.views(r.who), r.views()); diff != "" {
			rt.Fatalf("conversations on %s (-want +got):\n%s", r.who.Device, diff)
		}
		if diff := cmp.Diff(c.ledger.shelves[r.who.User].filled(), r.filled()); diff != "" {
			rt.Fatalf("registers on %s (-want +got):\n%s", r.who.Device, diff)
		}
	}
}

// recount makes everything anew from the store's entries, and from what the bridge
// answers to who asks now.
func (c *crowd) recount(rt *rapid.T) {
	for id, talk := range c.ledger.talks {
		now := c.conversation(boss, id)
		log := c.log(id)
		count := func(seq int64) (n int64) {
			for _, e := range log[:seq] {
				if e.Type == parley.EntryText {
					n++
				}
			}
			return n
		}
		for _, m := range now.Marks {
			want := parley.Mark{User: m.User, Delivered: talk.marks[m.User].delivered, Read: talk.marks[m.User].read, Count: count(m.Read)}
			if m != want {
				rt.Fatalf("the mark is %+v, recounted %+v", m, want)
			}
		}
		if now.Count != count(now.Head) || now.Head != talk.head() || now.AgentRead != talk.agentRead || len(now.Marks) != len(talk.marks) {
			rt.Fatalf("the conversation is %+v, its entries say %d messages", now, count(now.Head))
		}
	}
	for user, shelf := range c.ledger.shelves {
		if diff := cmp.Diff(shelf.filled(), c.registers(parley.Identity{Site: site, User: user})); diff != "" {
			rt.Fatalf("registers of %s (-want +got):\n%s", user, diff)
		}
	}
}
