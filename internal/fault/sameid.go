package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	racers     = 64
	raceDepth  = 40 // ids that are raced for at a time
	raceDevice = 8  // connections; each sends an id several times
)

// sameID lets 64 publishes of one id race on eight connections, a part of them
// with DUP, and then sends the id with another body.
func sameID(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		first, err := w.rest.Visitor(ctx, server.SiteKey, "racer")
		if err != nil {
			return err
		}
		conversation := parley.NewID(parley.PrefixConversation)
		w.streams = append(w.streams, stream{conversation, first})
		var all []*racer
		for n := range raceDevice {
			s := first
			if n > 0 {
				if s, err = w.rest.SameVisitor(ctx, server.SiteKey, first); err != nil {
					return err
				}
			}
			r := &racer{world: w, session: s, topic: s.Topic(parley.TopicSend, conversation), conversation: conversation}
			if err := r.connect(ctx); err != nil {
				return err
			}
			defer r.conn.Close()
			all = append(all, r)
			w.journals = append(w.journals, r.journal.Records)
		}
		if err := all[0].race([]parley.Draft{parley.NewText(parley.NewID(parley.PrefixMessage), "first")}, 1, nil); err != nil {
			return err // opens the conversation
		}
		seqs := &positions{of: map[string]int64{}, result: w.result}
		for left := w.Rounds; left > 0; left -= raceDepth {
			if err := w.raceAll(all, min(left, raceDepth), seqs); err != nil {
				return err
			}
		}
		return w.replay(ctx, all[0], seqs)
	})
}

// raceAll races for n new ids and then tries to overwrite them.
func (w *world) raceAll(all []*racer, n int, seqs *positions) error {
	drafts, others := make([]parley.Draft, n), make([]parley.Draft, n)
	for i := range drafts {
		id := parley.NewID(parley.PrefixMessage)
		drafts[i], others[i] = parley.NewText(id, "first "+id), parley.NewText(id, "second "+id)
	}
	seqs.drafts = append(seqs.drafts, drafts...)
	var wg sync.WaitGroup
	errs := make(chan error, len(all))
	for _, r := range all {
		wg.Go(func() { errs <- r.race(drafts, racers/raceDevice, seqs) })
	}
	wg.Wait()
	for range all {
		if err := <-errs; err != nil {
			return err
		}
	}
	return all[0].overwrite(others)
}

// positions are the ones that acknowledgements told, by message id.
type positions struct {
	drafts []parley.Draft
	result *Result

	mu sync.Mutex
	of map[string]int64
}

func (p *positions) learn(id string, seq int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.of[id]; known != 0 && known != seq {
		p.result.problem("message %s was acknowledged as seq %d and as seq %d", id, known, seq)
	}
	p.of[id] = seq
}

type racer struct {
	world        *world
	session      *device.Session
	conn         *device.Conn
	topic        string
	conversation string
	journal      checker.Journal
}

func (r *racer) connect(ctx context.Context) error {
	token, err := r.world.rest.Token(ctx, r.session)
	if err != nil {
		return err
	}
	r.conn, _, err = device.Connect(ctx, r.world.cable.Addr(), device.Options{
		Version: device.MQTT5, ClientID: r.session.ClientID(), Password: token, CleanStart: true,
	})
	return err
}

const raceWindow = 60 // below the server's Receive Maximum

// race sends every draft times times and reads the acknowledgements.
func (r *racer) race(drafts []parley.Draft, times int, seqs *positions) error {
	ids := map[uint16]string{}
	var packetID uint16
	for n := range times {
		for _, d := range drafts {
			packetID++
			ids[packetID] = d.ID
			if n == 0 {
				r.note(checker.Sent, d, 0)
			}
			if err := r.send(packetID, d, n%2 == 1); err != nil {
				return err
			}
			if len(ids) == raceWindow {
				if err := r.settle(ids, raceWindow/2, seqs); err != nil {
					return err
				}
			}
		}
	}
	return r.settle(ids, 0, seqs)
}

func (r *racer) send(packetID uint16, d parley.Draft, dup bool) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode draft: %w", err)
	}
	return r.conn.Write(&packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Dup: dup},
		PacketID:    packetID, TopicName: r.topic, Payload: payload,
	})
}

func (r *racer) note(event checker.Event, d parley.Draft, seq int64) {
	r.journal.Add(checker.Record{
		Device: r.session.ClientID(), User: r.session.User, Event: event,
		Conversation: r.conversation, ID: d.ID, Seq: seq, Type: d.Type, Body: d.Body,
	})
}

// settle reads acknowledgements until only left are missing.
func (r *racer) settle(ids map[uint16]string, left int, seqs *positions) error {
	for len(ids) > left {
		pk, err := r.puback()
		if err != nil {
			return err
		}
		id := ids[pk.PacketID]
		delete(ids, pk.PacketID)
		if pk.ReasonCode >= 0x80 {
			r.world.result.problem("a repeat of %s was refused, reason %#x", id, pk.ReasonCode)
			continue
		}
		seq := device.SeqOf(pk)
		r.note(checker.Acked, parley.Draft{ID: id}, seq)
		if seqs != nil {
			seqs.learn(id, seq)
		}
	}
	return nil
}

func (r *racer) puback() (*packets.Packet, error) {
	for {
		socket, _ := r.conn.Raw()
		_ = socket.SetReadDeadline(time.Now().Add(roundTimeout)) // fails only on a closed socket
		pk, err := r.conn.Read()
		if err != nil || pk.FixedHeader.Type == packets.Puback {
			return pk, err
		}
		if pk.FixedHeader.Type == packets.Disconnect {
			return nil, fmt.Errorf("disconnected by the server, reason 0x%02x", pk.ReasonCode)
		}
	}
}

// overwrite sends known ids with other content, which has to be a conflict.
func (r *racer) overwrite(drafts []parley.Draft) error {
	for i, d := range drafts {
		if err := r.send(uint16(i+1), d, false); err != nil {
			return err
		}
	}
	for range drafts {
		pk, err := r.puback()
		if err != nil {
			return err
		}
		if pk.ReasonCode != 0x83 {
			r.world.result.problem("the same id with another body was answered with reason %#x", pk.ReasonCode)
		}
	}
	r.world.result.count("conflicts", len(drafts))
	return nil
}
