package device

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// Part is what a device that is a process of its own plays. It is the first
// line of its standard input.
type Part struct {
	Kind         Kind          `json:"kind"`
	Publishes    bool          `json:"publishes"` // into Conversation; else it subscribes to all that are its user's
	URL          string        `json:"url"`
	MQTT         string        `json:"mqtt"`
	Vigil        time.Duration `json:"vigil,omitempty"`
	Window       int           `json:"window,omitempty"`
	Conversation string        `json:"conversation,omitempty"`
	Outbox       string        `json:"outbox,omitempty"` // file that a publisher goes on from
	Credentials  Credentials   `json:"credentials"`
	Skew         int64         `json:"skew,omitempty"` // milliseconds that the clock of our TypeScript client is wrong by
}

// Play reads a Part and then commands from in, and writes its journal to out, a
// line at a time, until in ends or ctx does. The one command is "send n": write
// n more messages.
func Play(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxPacket)
	if !lines.Scan() {
		return errors.New("play a device: no part on standard input")
	}
	var part Part
	if err := json.Unmarshal(lines.Bytes(), &part); err != nil {
		return fmt.Errorf("play a device: %w", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	e := Endpoint{REST: NewREST(part.URL), MQTT: part.MQTT, Vigil: part.Vigil}
	defer e.REST.Close()
	s := part.Credentials.Session()
	if !part.Publishes {
		d := NewSubscriberOf(part.Kind, e, s, uint16(part.Window))
		d.Journal.Tee(out)
		running.Go(func() { d.Run(ctx) })
		for lines.Scan() {
		}
		return lines.Err()
	}
	p := NewPublisherOf(part.Kind, e, s, part.Conversation, part.Window)
	file, err := p.open(part.Outbox, out)
	if err != nil {
		return err
	}
	defer file.Close()
	running.Go(func() { p.Run(ctx) })
	return p.obey(lines)
}

// obey sends as many messages as it is told.
func (p *Publisher) obey(lines *bufio.Scanner) error {
	for lines.Scan() {
		n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "send "))
		if err != nil {
			return fmt.Errorf("play a device: %q is not a command", lines.Text())
		}
		for i := range n {
			p.Send(fmt.Sprintf("message %d of %d: 还在吗？", i+1, n))
		}
	}
	return lines.Err()
}

// open takes up the outbox in the file, if one is named, and writes the journal
// there first from now on: a message is in the file before it is on the wire.
func (p *Publisher) open(name string, out io.Writer) (io.Closer, error) {
	if name == "" {
		p.Journal.Tee(out)
		return io.NopCloser(nil), nil
	}
	records, err := ReadOutbox(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	p.Restore(records)
	p.Journal.Tee(io.MultiWriter(f, out))
	return f, nil
}

// ReadOutbox reads an outbox file, which is the journal of the device that
// keeps it. A last line that was not finished is cut off, also in the file.
func ReadOutbox(name string) ([]checker.Record, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	whole := strings.LastIndexByte(string(data), '\n') + 1
	if whole < len(data) {
		if err := os.Truncate(name, int64(whole)); err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
	}
	return checker.ReadJournal(strings.NewReader(string(data[:whole])))
}
