package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
)

// sender publishes over one connection with as little work as possible.
type sender struct {
	conn   *device.Conn
	draft  *draft
	window int

	credit   chan struct{} // one token for each message under way
	sentAt   []int64       // nanoseconds, by packet identifier - 1
	epoch    time.Time
	counting atomic.Bool
	count    atomic.Int64

	latencies []uint32 // microseconds; owned by the reader, read after run
}

// newSender prepares packets of the given payload size.
func newSender(conn *device.Conn, topic string, window, payloadBytes int, seed uint64) *sender {
	return &sender{
		conn: conn, draft: newDraft(device.MQTT5, topic, payloadBytes, seed), window: window,
		credit: make(chan struct{}, window), sentAt: make([]int64, window), epoch: time.Now(),
	}
}

func (s *sender) close() { s.conn.Close() }

func (s *sender) counted() int { return int(s.count.Load()) }

// run publishes until ctx ends; what is under way then is not waited for.
func (s *sender) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.conn.Close)
	defer stop()
	ended := make(chan struct{})
	var readErr error
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(ended)
		readErr = s.readAcks()
	})
	writeErr := s.write(ended)
	s.conn.Close()
	reader.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(readErr, writeErr)
}

// write keeps the window full. Packets are gathered until the window is, as any
// client that has much to say does. Identifiers go round in the window: the
// server acknowledges in order, so the oldest one is always free.
func (s *sender) write(ended <-chan struct{}) error {
	socket, _ := s.conn.Raw()
	w := bufio.NewWriterSize(socket, 32<<10)
	for n := 0; ; n++ {
		select {
		case s.credit <- struct{}{}:
		default:
			if err := w.Flush(); err != nil {
				return err
			}
			select {
			case s.credit <- struct{}{}:
			case <-ended:
				return nil
			}
		}
		slot := n % s.window
		packet := s.draft.packet(uint16(slot+1), n)
		atomic.StoreInt64(&s.sentAt[slot], int64(time.Since(s.epoch)))
		if _, err := w.Write(packet); err != nil {
			return err
		}
	}
}

func (s *sender) readAcks() error {
	_, r := s.conn.Raw()
	for n := 0; ; n++ {
		if err := s.readAck(r, uint16(n%s.window+1)); err != nil {
			return err
		}
		sent := atomic.LoadInt64(&s.sentAt[n%s.window])
		<-s.credit
		if s.counting.Load() {
			s.count.Add(1)
			s.latencies = append(s.latencies, uint32((int64(time.Since(s.epoch))-sent)/int64(time.Microsecond)))
		}
	}
}

// readAck reads one packet, which must be the positive PUBACK of the packet
// identifier: acknowledgements come in the order of the messages.
func (s *sender) readAck(r *bufio.Reader, want uint16) error {
	header, err := r.ReadByte()
	if err != nil {
		return err
	}
	length, _, err := packets.DecodeLength(r)
	if err != nil {
		return err
	}
	if header>>4 != packets.Puback || length < 2 {
		return fmt.Errorf("expected PUBACK, got %s", packets.PacketNames[header>>4])
	}
	var head [3]byte // identifier and reason; without a reason it is a success
	if _, err := io.ReadFull(r, head[:min(length, len(head))]); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint16(head[:]); got != want {
		return fmt.Errorf("PUBACK for packet identifier %d, expected %d: not in publish order", got, want)
	}
	if head[2] >= 0x80 {
		return fmt.Errorf("message refused, reason 0x%02x", head[2])
	}
	_, err = r.Discard(length - min(length, len(head)))
	return err
}
