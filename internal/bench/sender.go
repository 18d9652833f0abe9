package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/parley-chat/parley/internal/fault/device"
)

// sender publishes over one connection with as little work as possible: a
// packet is encoded once, and only its packet identifier and message id change.
type sender struct {
	conn   *device.Conn
	packet []byte
	id     int // offset of the packet identifier
	serial int // offset of the digits in the message id
	window int

	credit   chan struct{} // one token for each message under way
	sentAt   []int64       // nanoseconds, by packet identifier - 1
	epoch    time.Time
	counting atomic.Bool
	count    atomic.Int64

	latencies []uint32 // microseconds; owned by the reader, read after run
}

const (
	serialDigits = 12
	minPayload   = 96 // the frame of a draft and its id
)

// newSender prepares packets of the given payload size. Message ids begin with
// digits from seed, so that runs on one server do not repeat each other's.
func newSender(conn *device.Conn, topic string, window, payloadBytes int, seed uint64) *sender {
	s := &sender{
		conn: conn, window: window, credit: make(chan struct{}, window),
		sentAt: make([]int64, window), epoch: time.Now(),
	}
	head := fmt.Sprintf(`{"id":"msg_%016x`, seed)
	middle := `","type":"text","body":{"text":"`
	tail := `"}}`
	text := make([]byte, max(payloadBytes, minPayload)-len(head)-serialDigits-len(middle)-len(tail))
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyz    "[random.IntN(30)]
	}
	payload := head + fmt.Sprintf("%0*d", serialDigits, 0) + middle + string(text) + tail

	variable := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	variable = append(variable, topic...)
	idAt := len(variable)
	variable = append(variable, 0, 0, 0) // packet identifier; no properties
	variable = append(variable, payload...)
	s.packet = append(s.packet, packets.Publish<<4|1<<1)
	s.packet = binary.AppendUvarint(s.packet, uint64(len(variable))) // the same encoding as MQTT's
	s.id = len(s.packet) + idAt
	s.serial = s.id + 3 + len(head)
	s.packet = append(s.packet, variable...)
	return s
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
		binary.BigEndian.PutUint16(s.packet[s.id:], uint16(slot+1))
		putDigits(s.packet[s.serial:s.serial+serialDigits], n)
		atomic.StoreInt64(&s.sentAt[slot], int64(time.Since(s.epoch)))
		if _, err := w.Write(s.packet); err != nil {
			return err
		}
	}
}

func putDigits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
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
