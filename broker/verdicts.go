package broker

import (
	"context"
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// mostVerdicts is how many refusals of a device are upheld: the newest. A client
// whose PUBACKs are lost sends at most ReceiveMaximum drafts again, each of which
// may be refused anew, and lost again.
const mostVerdicts = 8 * ReceiveMaximum

// verdicts are the newest refusals of a device that would perhaps be decided in
// another way today. A draft comes again when its PUBACK was lost with the
// connection; what its sender sent behind it may be stored by then, and it must not
// come to stand behind that.
type verdicts struct {
	known bool // those that the store has are among them
	kept  []parley.Refusal
}

// add keeps r if it might be decided in another way at another time.
func (v *verdicts) add(r parley.Refusal) {
	switch r.Err.Code {
	case parley.CodeForbidden, parley.CodeNotFound, parley.CodeClosed:
	default:
		return
	}
	if r.Err.ID == "" {
		return
	}
	if len(v.kept) == mostVerdicts {
		v.kept = slices.Delete(v.kept, 0, 1)
	}
	v.kept = append(v.kept, r)
}

// on returns how the draft of that id to topic was refused, or nil.
func (v *verdicts) on(topic, id string) *parley.Error {
	for _, r := range slices.Backward(v.kept) {
		if r.Err.ID == id && r.Topic == topic {
			return r.Err
		}
	}
	return nil
}

// uphold refuses the drafts among reads that were refused before. false means that
// the store could not say in time.
func (in *inbound) uphold(batch []*packets.Packet, reads []read) bool {
	for i := range reads {
		r := &reads[i]
		if r.refusal != nil || r.kind != parley.TopicSend && r.kind != parley.TopicNotesSend {
			continue
		}
		if !in.verdicts.known && !in.insist(in.recall) {
			return false
		}
		r.refusal = in.verdicts.on(batch[i].TopicName, r.draft.ID)
	}
	return true
}

// recall reads what the device was refused on earlier connections.
func (in *inbound) recall(ctx context.Context) error {
	v := &in.verdicts
	refusals, err := in.session.broker.log.Refusals(ctx, in.session.who, mostVerdicts)
	if err != nil {
		return err
	}
	v.kept, v.known = nil, true
	for _, r := range refusals {
		v.add(r)
	}
	return nil
}
