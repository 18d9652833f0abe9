package broker

import (
	"context"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/crash"
)

// Timing of a publish that the store does not take.
const (
	attemptTime   = 5 * time.Second // one try of the store
	retryPauseMin = 20 * time.Millisecond
	retryPauseMax = 500 * time.Millisecond
)

// record takes publishes in order: runs of drafts to one topic together, refusals
// one by one. false means that the store could not write in time; what was not
// acknowledged will be sent again by the client.
func (in *inbound) record(batch []*packets.Packet) bool {
	if len(batch) == 0 {
		return true
	}
	if !in.keepPace(len(batch)) {
		return false
	}
	reads := make([]read, len(batch))
	for i := range batch {
		reads[i] = in.session.read(batch[i])
	}
	if !in.uphold(batch, reads) {
		return false
	}
	for len(batch) > 0 {
		first := reads[0]
		if first.refusal != nil {
			if !in.refuse(batch[0], first.refusal) {
				return false
			}
			batch, reads = batch[1:], reads[1:]
			continue
		}
		n := 1
		for n < len(reads) && reads[n].refusal == nil && reads[n].kind == first.kind && reads[n].conversation == first.conversation {
			n++
		}
		if !in.recordAlike(batch[:n], reads[:n]) {
			return false
		}
		batch, reads = batch[n:], reads[n:]
	}
	return true
}

// recordAlike records publishes to one topic.
func (in *inbound) recordAlike(batch []*packets.Packet, reads []read) bool {
	switch reads[0].kind {
	case parley.TopicMarks:
		return in.recordMarks(batch, reads)
	case parley.TopicSet:
		return in.recordSets(batch, reads)
	case parley.TopicAuth:
		for i, pk := range batch {
			if !in.renew(pk, reads[i].token) {
				return false
			}
		}
		return true
	}
	return in.recordRun(batch, reads[0], draftsOf(reads))
}

func draftsOf(reads []read) []parley.Draft {
	drafts := make([]parley.Draft, len(reads))
	for i := range reads {
		drafts[i] = reads[i].draft
	}
	return drafts
}

// recordRun stores drafts of one conversation, messages or notes as the first of
// them, and acknowledges them.
func (in *inbound) recordRun(batch []*packets.Packet, first read, drafts []parley.Draft) bool {
	for len(drafts) > 0 {
		answers, ok := in.recordSome(first, drafts)
		if !ok {
			return false
		}
		crash.At(crash.Recorded)
		if !in.answer(batch, drafts, answers) {
			return false
		}
		batch, drafts = batch[len(answers):], drafts[len(answers):]
	}
	return true
}

// recordSome stores the first of drafts, as many as the store takes in time: all of
// them, until that was too much. Then the next try is for one alone, and has its
// acknowledgement; as long as that comes, however slowly, the connection stays.
func (in *inbound) recordSome(first read, drafts []parley.Draft) (answers []parley.Appended, ok bool) {
	s := in.session
	record := s.broker.log.Record
	if first.kind == parley.TopicNotesSend {
		record = s.broker.log.Note
	}
	limit := s.broker.options.RecordTimeout
	if in.most > 0 {
		drafts = drafts[:min(in.most, len(drafts))]
	}
	began := time.Now()
	ok = in.insist(func(ctx context.Context) error {
		if len(drafts) > 1 { // which leaves time for one
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, began.Add(limit/2))
			defer cancel()
		}
		var err error
		answers, err = record(ctx, s.who, first.conversation, drafts)
		if e := parley.ErrorOf(err); e != nil && e.Code == parley.CodeRateLimited {
			answers, err = refuseEach(drafts, e), nil // told at once: waiting would hold up what is behind
		}
		if err != nil {
			in.most, drafts = 1, drafts[:1]
		}
		return err
	})
	if in.most > 0 && time.Since(began) < limit/8 {
		in.most *= 2
	}
	if in.most > ReceiveMaximum {
		in.most = 0
	}
	return answers, ok
}

// answer acknowledges publishes whose drafts have their answers.
func (in *inbound) answer(batch []*packets.Packet, drafts []parley.Draft, answers []parley.Appended) bool {
	s := in.session
	var acks []byte
	epoch := s.broker.log.Epoch()
	acked := 0
	for i, a := range answers {
		if a.Err == nil {
			acks = s.acker.positive(acks, batch[i].PacketID, a, epoch)
			acked++
			continue
		}
		in.acknowledge(acks, acked)
		acks, acked = nil, 0
		if !in.refuse(batch[i], parley.ErrorOf(a.Err).About(drafts[i].ID)) {
			return false
		}
	}
	in.acknowledge(acks, acked)
	return true
}

// refuse makes a refusal durable and then acknowledges the publish.
func (in *inbound) refuse(pk *packets.Packet, refusal *parley.Error) bool {
	s := in.session
	s.broker.stats.refusedPublishes.Add(1)
	crash.At(crash.RefusalDecided)
	key := parley.NewID("")
	ok := in.insist(func(ctx context.Context) error {
		return s.broker.log.Refuse(ctx, s.who, key, pk.TopicName, refusal)
	})
	if !ok {
		return false
	}
	crash.At(crash.RefusalStored)
	in.verdicts.add(parley.Refusal{Topic: pk.TopicName, Err: refusal})
	if pk.FixedHeader.Qos == 0 {
		in.release(1)
		return true
	}
	in.acknowledge(s.acker.refusal(nil, pk.PacketID, refusal), 1)
	return true
}

func (in *inbound) acknowledge(acks []byte, n int) {
	if n == 0 {
		return
	}
	in.release(n) // before the write: the answer may be faster than we are
	in.session.broker.stats.published.Add(int64(n))
	_, _ = in.session.conn.Write(acks) // a failed write has closed the connection
	crash.At(crash.AckWritten)
}

// refuseEach answers the same refusal to every draft.
func refuseEach(drafts []parley.Draft, refusal *parley.Error) []parley.Appended {
	answers := make([]parley.Appended, len(drafts))
	for i := range answers {
		answers[i].Err = refusal
	}
	return answers
}

// insist tries until it succeeds, or gives up after the broker's RecordTimeout
// or with the connection.
func (in *inbound) insist(try func(context.Context) error) bool {
	s := in.session
	deadline := time.Now().Add(s.broker.options.RecordTimeout)
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		ctx, cancel := context.WithDeadline(s.pump.ctx, sooner(deadline, time.Now().Add(attemptTime)))
		err := try(ctx)
		cancel()
		if err == nil {
			return true
		}
		s.broker.stats.recordRetries.Add(1)
		if s.pump.ctx.Err() != nil {
			return false // the client has left, which is no fault
		}
		if time.Now().Add(pause).After(deadline) {
			s.broker.options.Logger.Warn("publish not recorded", "device", s.device, "error", err)
			return false
		}
		select {
		case <-s.pump.ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// read is a publish as far as its topic and payload tell.
type read struct {
	kind         parley.TopicKind // send, notes/send, marks, set or auth
	conversation string
	draft        parley.Draft
	mark         parley.MarkDraft
	set          parley.SetDraft
	token        string // a renewed one
	refusal      *parley.Error
}

func (s *session) read(pk *packets.Packet) read {
	t, err := parley.ParseTopic(pk.TopicName)
	if err == nil {
		err = s.who.May(parley.ActionPublish, t)
	}
	if err == nil {
		err = takesDrafts(t, pk)
	}
	r := read{kind: t.Kind, conversation: t.Conversation}
	broken := r.decode(pk.Payload)
	if err == nil {
		err = broken
	}
	if err == nil && pk.FixedHeader.Qos == 0 {
		err = parley.Errorf(parley.CodeInvalid, "this is published at QoS 1")
	}
	if err == nil && pk.FixedHeader.Retain {
		err = parley.Errorf(parley.CodeInvalid, "this is not published as retained")
	}
	if err == nil {
		return r
	}
	id := r.draft.ID
	if broken != nil {
		id = parley.ErrorOf(broken).ID
	}
	return read{refusal: parley.ErrorOf(err).About(id)}
}

func (r *read) decode(payload []byte) (err error) {
	switch r.kind {
	case parley.TopicMarks:
		r.mark, err = parley.DecodeMark(payload)
	case parley.TopicSet:
		r.set, err = parley.DecodeSet(payload)
		r.draft.ID = r.set.ID
	case parley.TopicAuth:
		r.token, err = parley.DecodeRenewal(payload)
	default:
		r.draft, err = parley.DecodeDraft(payload)
	}
	return err
}

// takesDrafts refuses what is not published to a topic of drafts: also the
// signals that take has not taken.
func takesDrafts(t parley.Topic, pk *packets.Packet) error {
	switch t.Kind {
	case parley.TopicSend, parley.TopicNotesSend, parley.TopicMarks, parley.TopicSet, parley.TopicAuth:
		return nil
	case parley.TopicSignals:
		return refusalOfSignal(pk)
	}
	return parley.Errorf(parley.CodeInvalid, "nothing can be published here yet")
}
