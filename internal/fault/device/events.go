package device

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// receive hands on what comes down a tunnel, and answers why it has ended.
func (t *Tunnel) receive(down io.ReadCloser) error {
	defer down.Close()
	lines := bufio.NewScanner(down)
	lines.Buffer(nil, maxPacket)
	event := event{}
	for lines.Scan() {
		if line := lines.Text(); line != "" {
			event.take(line)
			continue
		}
		if err := t.dispatch(event); err != nil {
			return err
		}
		event.kind, event.data = "", ""
	}
	return errors.Join(errors.New("the down stream was cut"), lines.Err())
}

// dispatch takes an event that is whole.
func (t *Tunnel) dispatch(e event) error {
	switch {
	case e.kind == "close":
		code, err := strconv.Atoi(e.data)
		if err != nil {
			return fmt.Errorf("close event: %w", err)
		}
		return &TunnelClosedError{code}
	case e.data == "":
		return nil // a comment
	}
	p, err := base64.StdEncoding.DecodeString(e.data)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if t.got += int64(len(p)); t.got != e.id {
		return fmt.Errorf("event ends at byte %d, expected %d", e.id, t.got)
	}
	_, err = t.far.Write(p)
	return err
}

// event is a server-sent event.
type event struct {
	id         int64
	kind, data string
}

// take takes a line of it.
func (e *event) take(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		e.id, _ = strconv.ParseInt(value, 10, 64) // not a number is not the id we expect
	case "event":
		e.kind = value
	case "data":
		e.data += value
	}
}
