package demo

import (
	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Score is the verdict over the conversations that are open on the devices.
type Score struct {
	// Run is the load of the page that it is about. Until Settled, the devices
	// have not all told yet what they show, and the numbers are those of a part.
	Run     string `json:"run"`
	Settled bool   `json:"settled"`

	Sent      int `json:"sent"`
	Acked     int `json:"acked"`
	Stored    int `json:"stored"`    // messages in the log
	Elsewhere int `json:"elsewhere"` // of these, sent by other programs than the page's devices
	Earlier   int `json:"earlier"`   // of these, in conversations of other visitors than the page's
	InFlight  int `json:"inFlight"`  // not acknowledged yet, or not yet shown by every device that will

	Lost      int `json:"lost"`
	Doubled   int `json:"doubled"`
	Reordered int `json:"reordered"`
	Wrong     int `json:"wrong"` // anything else: changed content, holes, messages from nowhere

	Devices map[deviceName]DeviceScore `json:"devices"`
	// Messages is how many the visitor's conversation holds; Waiting are the
	// devices that have not opened it, and Loading those that have, but do not show
	// its beginning yet.
	Messages int          `json:"messages"`
	Waiting  []deviceName `json:"waiting"`
	Loading  []deviceName `json:"loading"`
	// Agreed: every device shows exactly these messages, in the order of the log,
	// and nothing is in flight.
	Agreed   bool     `json:"agreed"`
	Examples []string `json:"examples"`
}

// DeviceScore is one device's part of it.
type DeviceScore struct {
	Told   bool `json:"told"` // whether it has told anything since the page was loaded
	Online bool `json:"online"`
	Sent   int  `json:"sent"`
	Acked  int  `json:"acked"`
	Shown  int  `json:"shown"`
	Behind int  `json:"behind"` // stored, and still on their way to this device
	Wrong  int  `json:"wrong"`  // lost, doubled, reordered or otherwise wrong here
}

// evidence is what a verdict rests on. The log was read after the snapshot was
// taken: whatever a device knows is in it.
type evidence struct {
	snapshot
	log []checker.Stream
	// overdue devices had all the time they need: what they do not show is lost.
	overdue map[deviceName]bool
}

// judge comes to a verdict. It is pure.
func judge(e evidence) Score {
	j := &judgement{evidence: e, score: Score{Run: e.run, Devices: map[deviceName]DeviceScore{}}, sent: map[author]bool{}, flying: map[author]bool{}}
	j.judgeSenders()
	for _, name := range deviceNames() {
		if d, ok := e.devices[name]; ok {
			j.judgeDevice(name, d)
		}
	}
	j.score.InFlight = len(j.flying)
	j.agree()
	return j.score
}

// author names a message.
type author struct{ conversation, sender, id string }

type judgement struct {
	evidence
	score  Score
	sent   map[author]bool
	flying map[author]bool
}

// judgeSenders compares what was sent with the log.
func (j *judgement) judgeSenders() {
	open := map[string]bool{}
	for _, s := range j.log {
		open[s.Conversation] = true
	}
	var records []checker.Record
	for _, r := range j.senders {
		if !open[r.Conversation] {
			continue
		}
		records = append(records, r)
		j.countFor(senderOf(r), r)
		message := author{r.Conversation, r.User, r.ID}
		switch r.Event {
		case checker.Sent:
			j.sent[message] = true
			j.flying[message] = true
		case checker.Acked, checker.Refused:
			delete(j.flying, message)
		}
	}
	unreported := j.unreported()
	r := checker.Check(append(records, unreported...), j.log)
	j.add(r)
	j.score.Sent, j.score.Acked = r.Sent-len(unreported), r.Acked
	j.score.Wrong += r.Gaps // a device's gaps are among its losses
}

// countFor counts what a device has sent, unless it was in other hands then.
func (j *judgement) countFor(name deviceName, r checker.Record) {
	if d, told := j.devices[name]; !told || d.user != r.User {
		return
	}
	score := j.score.Devices[name]
	switch r.Event {
	case checker.Sent:
		score.Sent++
	case checker.Acked:
		score.Acked++
	}
	j.score.Devices[name] = score
}

// senderOf is the device in "visitor/usr_…".
func senderOf(r checker.Record) deviceName {
	for _, name := range deviceNames() {
		if r.Device == string(name)+"/"+r.User {
			return name
		}
	}
	return ""
}

// unreported accounts for messages in the log of which no device has told. Those
// are from a program next to the page, unless a device of their sender has not
// come so far: it may yet tell, and until then they are in flight.
func (j *judgement) unreported() (records []checker.Record) {
	tails := j.tails()
	for _, s := range j.log {
		for _, e := range s.Entries {
			if !e.Type.Message() {
				continue
			}
			message := author{s.Conversation, e.Sender, e.ID}
			switch {
			case j.sent[message]:
				j.score.Stored++
				continue
			case behind(tails, s.Conversation, e):
				j.flying[message] = true
			default:
				j.score.Stored++
				j.score.Elsewhere++
			}
			j.sent[message] = true
			records = append(records, checker.Record{
				Device: "elsewhere/" + e.Sender, User: e.Sender, Event: checker.Sent,
				Conversation: s.Conversation, ID: e.ID, Type: e.Type, Body: e.Body,
			})
		}
	}
	return records
}

// place is where a person is in a conversation.
type place struct{ conversation, user string }

// tails are the last messages that people's devices show, the slowest device's
// of each.
func (j *judgement) tails() map[place]int64 {
	tails := map[place]int64{}
	for name, d := range j.devices {
		for _, v := range d.views {
			p, tail := place{v.Conversation, d.user}, int64(0)
			for _, r := range v.Rows {
				tail = max(tail, r.Seq)
			}
			if known, ok := tails[p]; !j.overdue[name] && (!ok || tail < known) {
				tails[p] = tail
			}
		}
	}
	return tails
}

func behind(tails map[place]int64, conversation string, e parley.Entry) bool {
	tail, open := tails[place{conversation, e.Sender}]
	return open && tail < e.Seq
}

// judgeDevice compares what a device shows with the log as far as the device can
// have come.
func (j *judgement) judgeDevice(name deviceName, d deviceState) {
	var records []checker.Record
	var owed []checker.Stream
	score := j.score.Devices[name]
	for _, v := range d.views {
		stream := j.stream(v.Conversation)
		if stream == nil {
			continue
		}
		shows, tail := v.records(string(name), d.user, stream)
		if shows == nil {
			continue
		}
		if !j.overdue[name] {
			var behind []parley.Entry
			*stream, behind = cut(*stream, tail)
			score.Behind += len(behind)
			for _, e := range behind {
				j.flying[author{v.Conversation, e.Sender, e.ID}] = true
			}
		}
		records, owed = append(records, shows...), append(owed, *stream)
	}
	r := checker.Check(records, owed)
	j.add(r)
	score.Told, score.Online, score.Shown = true, d.online, r.Shown
	score.Wrong = r.Lost + r.Doubled + r.Reordered + r.Changed + r.Unexplained
	j.score.Devices[name] = score
}

func (j *judgement) stream(conversation string) *checker.Stream {
	for _, s := range j.log {
		if s.Conversation == conversation {
			return &s
		}
	}
	return nil
}

// cut divides a stream behind seq, and returns the messages of the rest.
func cut(s checker.Stream, seq int64) (head checker.Stream, behind []parley.Entry) {
	head.Conversation = s.Conversation
	for _, e := range s.Entries {
		switch {
		case e.Seq <= seq:
			head.Entries = append(head.Entries, e)
		case e.Type.Message():
			behind = append(behind, e)
		}
	}
	return head, behind
}

func (j *judgement) add(r *checker.Report) {
	j.score.Lost += r.Lost
	j.score.Doubled += r.Doubled
	j.score.Reordered += r.Reordered
	j.score.Wrong += r.Changed + r.Unexplained
	j.score.Examples = append(j.score.Examples, r.Examples...)
}
