package broker

import (
	"context"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
)

// recordSets sets personal registers, one after the other: each may be based on
// the one before.
func (in *inbound) recordSets(batch []*packets.Packet, reads []read) bool {
	s := in.session
	for i, pk := range batch {
		var answer parley.Appended
		ok := in.insist(func(ctx context.Context) (err error) {
			answer, err = s.broker.log.Set(ctx, s.who, reads[i].set)
			return err
		})
		switch {
		case !ok:
			return false
		case answer.Err == nil:
			in.acknowledge(s.acker.positive(nil, pk.PacketID, answer, s.broker.log.Epoch()), 1)
		case !in.refuse(pk, parley.ErrorOf(answer.Err)):
			return false
		}
	}
	return true
}
