package demo

import (
	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
)

// Score is the verdict over the conversations that are open on the devices.
type Score struct {
	Sent      int `json:"sent"`
	Acked     int `json:"acked"`
	Stored    int `json:"stored"`    // messages in the log
	Elsewhere int `json:"elsewhere"` // of these, sent by other programs than the page's devices
	InFlight  int `json:"inFlight"`  // not acknowledged yet, or not yet shown by every device that will

	Lost      int `json:"lost"`
	Doubled   int `json:"doubled"`
	Reordered int `json:"reordered"`
	Wrong     int `json:"wrong"` // anything else: changed content, holes, messages from nowhere

	Devices map[deviceName]DeviceScore `json:"devices"`
	// Messages is how many the visitor's conversation holds; Waiting are the
	// devices that have not opened it.
	Messages int          `json:"messages"`
	Waiting  []deviceName `json:"waiting"`
	// Agreed: every device shows exactly these messages, in the order of the log,
	// and nothing is in flight.
	Agreed   bool     `json:"agreed"`
	Examples []string `json:"examples"`
}

// DeviceScore is one device's part of it.
type DeviceScore struct {
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
	j := &judgement{evidence: e, score: Score{Devices: map[deviceName]DeviceScore{}}, sent: map[author]bool{}, flying: map[author]bool{}}
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
		name, message := senderOf(r), author{r.Conversation, r.User, r.ID}
		d := j.score.Devices[name]
		switch r.Event {
		case checker.Sent:
			j.sent[message] = true
			j.flying[message] = true
			d.Sent++
		case checker.Acked:
			d.Acked++
			delete(j.flying, message)
		case checker.Refused:
			delete(j.flying, message)
		}
		j.score.Devices[name] = d
	}
	records = append(records, j.fromElsewhere()...)
	r := checker.Check(records, j.log)
	j.add(r)
	j.score.Sent, j.score.Acked = r.Sent-j.score.Elsewhere, r.Acked
	j.score.Wrong += r.Gaps // a device's gaps are among its losses
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

// fromElsewhere accounts for messages that a program next to the page has sent.
func (j *judgement) fromElsewhere() (records []checker.Record) {
	for _, s := range j.log {
		for _, e := range s.Entries {
			if !e.Type.Message() {
				continue
			}
			j.score.Stored++
			if message := (author{s.Conversation, e.Sender, e.ID}); !j.sent[message] {
				j.sent[message] = true
				j.score.Elsewhere++
				records = append(records, checker.Record{
					Device: "elsewhere/" + e.Sender, User: e.Sender, Event: checker.Sent,
					Conversation: s.Conversation, ID: e.ID, Type: e.Type, Body: e.Body,
				})
			}
		}
	}
	return records
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
	score.Online, score.Shown = d.online, r.Shown
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

// agree finds out whether everybody shows the visitor's conversation, and the
// same.
func (j *judgement) agree() {
	s := &j.score
	for _, v := range j.devices[deviceVisitor].views {
		messages := 0
		if stream := j.stream(v.Conversation); stream != nil {
			_, all := cut(*stream, 0)
			messages = len(all)
		}
		s.Messages += messages
		for _, name := range deviceNames() {
			if messages > 0 && !j.shows(name, v.Conversation) {
				s.Waiting = append(s.Waiting, name)
			}
		}
	}
	s.Agreed = s.Messages > 0 && len(s.Waiting) == 0 && s.InFlight == 0 && s.Lost+s.Doubled+s.Reordered+s.Wrong == 0
}

func (j *judgement) shows(name deviceName, conversation string) bool {
	for _, v := range j.devices[name].views {
		if v.Conversation == conversation && v.Complete {
			return true
		}
	}
	return false
}
