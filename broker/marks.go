package broker

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// recordMarks stores what marks of one conversation say together, and
// acknowledges them. When that is refused, each is taken for itself.
func (in *inbound) recordMarks(batch []*packets.Packet, reads []read) bool {
	s := in.session
	together := reads[0].mark
	for _, r := range reads[1:] {
		if r.mark.Epoch != together.Epoch {
			return in.recordMarks(batch[:1], reads[:1]) && in.recordMarks(batch[1:], reads[1:])
		}
		together.Delivered, together.Read = max(together.Delivered, r.mark.Delivered), max(together.Read, r.mark.Read)
	}
	var answer parley.Appended
	ok := in.insist(func(ctx context.Context) (err error) {
		answer, err = s.broker.log.Mark(ctx, s.who, reads[0].conversation, together)
		return err
	})
	switch {
	case !ok:
		return false
	case answer.Err == nil:
		var acks []byte
		for _, pk := range batch {
			acks = s.acker.append(acks, pk.PacketID, packets.CodeSuccess, nil)
		}
		in.acknowledge(acks, len(batch))
		return true
	case len(batch) == 1:
		return in.refuse(batch[0], parley.ErrorOf(answer.Err))
	}
	for i := range batch {
		if !in.recordMarks(batch[i:i+1], reads[i:i+1]) {
			return false
		}
	}
	return true
}
