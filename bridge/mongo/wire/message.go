package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What the protocol calls its messages. opReply and opQuery are of an older version:
// a driver that does not yet know whom it talks to says hello in it.
const (
	opReply      = 1
	opQuery      = 2004
	opCompressed = 2012
	opMsg        = 2013
)

const (
	headerSize = 16
	maxMessage = 48_000_000

	checksumPresent = 1 << 0 // flags of opMsg
	moreToCome      = 1 << 1
)

var errCompressed = errors.New("the connection is compressed; connect without compressors")

// message is one as it came, header included.
type message []byte

func (m message) id() int32       { return int32(binary.LittleEndian.Uint32(m[4:])) }
func (m message) answers() int32  { return int32(binary.LittleEndian.Uint32(m[8:])) }
func (m message) operation() int  { return int(binary.LittleEndian.Uint32(m[12:])) }
func (m message) payload() []byte { return m[headerSize:] }

func read(r io.Reader) (message, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err // the end, as io.EOF, is not for wrapping
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < headerSize || n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	m := make(message, n)
	copy(m, length[:])
	if _, err := io.ReadFull(r, m[len(length):]); err != nil {
		return nil, fmt.Errorf("read the rest of a message: %w", err)
	}
	return m, nil
}

func compose(id, answers int32, operation int, payload []byte) message {
	m := make(message, headerSize, headerSize+len(payload))
	binary.LittleEndian.PutUint32(m, uint32(headerSize+len(payload)))
	binary.LittleEndian.PutUint32(m[4:], uint32(id))
	binary.LittleEndian.PutUint32(m[8:], uint32(answers))
	binary.LittleEndian.PutUint32(m[12:], uint32(operation))
	return append(m, payload...)
}

// sequence is a list of documents that an opMsg carries beside its body.
type sequence struct {
	name      string
	documents []bson.Raw
}

// content is what a message says.
type content struct {
	flags     uint32
	body      bson.Raw
	sequences []sequence
}

// parse reads a command or the answer to one. Other messages have no body.
func parse(m message) (content, error) {
	switch m.operation() {
	case opMsg:
		return parseMsg(m.payload())
	case opQuery:
		return parseQuery(m.payload())
	case opReply:
		return parseReply(m.payload())
	case opCompressed:
		return content{}, errCompressed
	default:
		return content{}, nil
	}
}

func parseMsg(p []byte) (c content, err error) {
	if len(p) < 4 {
		return c, io.ErrUnexpectedEOF
	}
	c.flags, p = binary.LittleEndian.Uint32(p), p[4:]
	if c.flags&checksumPresent != 0 {
		p = p[:len(p)-4]
	}
	for len(p) > 0 {
		section := p[0]
		p = p[1:]
		if section == 0 {
			if c.body, p, err = document(p); err != nil {
				return c, err
			}
			continue
		}
		var s sequence
		if s, p, err = parseSequence(p); err != nil {
			return c, err
		}
		c.sequences = append(c.sequences, s)
	}
	return c, nil
}

func parseSequence(p []byte) (s sequence, rest []byte, err error) {
	if len(p) < 4 {
		return s, nil, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(p)
	if n < 5 || int64(n) > int64(len(p)) {
		return s, nil, io.ErrUnexpectedEOF
	}
	inside, rest := p[4:n], p[n:]
	name, inside, found := bytes.Cut(inside, []byte{0})
	if !found {
		return s, nil, io.ErrUnexpectedEOF
	}
	s.name = string(name)
	for len(inside) > 0 {
		var d bson.Raw
		if d, inside, err = document(inside); err != nil {
			return s, nil, err
		}
		s.documents = append(s.documents, d)
	}
	return s, rest, nil
}

func parseQuery(p []byte) (c content, err error) {
	if len(p) < 4 {
		return c, io.ErrUnexpectedEOF
	}
	_, p, found := bytes.Cut(p[4:], []byte{0}) // flags, the collection's name
	if !found || len(p) < 8 {
		return c, io.ErrUnexpectedEOF
	}
	c.body, _, err = document(p[8:]) // to skip, to return
	return c, err
}

func parseReply(p []byte) (c content, err error) {
	const before = 20 // flags, cursor, starting from, number returned
	if len(p) < before {
		return c, io.ErrUnexpectedEOF
	}
	c.body, _, err = document(p[before:])
	return c, err
}

func document(p []byte) (d bson.Raw, rest []byte, err error) {
	if len(p) < 5 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(p)
	if n < 5 || int64(n) > int64(len(p)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return bson.Raw(p[:n]), p[n:], nil
}

// msg writes c as an opMsg, without a checksum.
func (c content) msg(id, answers int32) message {
	p := binary.LittleEndian.AppendUint32(nil, c.flags&^checksumPresent)
	p = append(append(p, 0), c.body...)
	for _, s := range c.sequences {
		inside := append([]byte(s.name), 0)
		for _, d := range s.documents {
			inside = append(inside, d...)
		}
		p = append(p, 1)
		p = binary.LittleEndian.AppendUint32(p, uint32(4+len(inside)))
		p = append(p, inside...)
	}
	return compose(id, answers, opMsg, p)
}

// reply writes the document as an opReply.
func reply(id, answers int32, body bson.Raw) message {
	p := make([]byte, 16, 20+len(body))
	p = binary.LittleEndian.AppendUint32(p, 1)
	return compose(id, answers, opReply, append(p, body...))
}

// answerTo writes the document as the answer that whoever sent m expects.
func answerTo(m message, body bson.Raw) message {
	if m.operation() == opQuery {
		return reply(0, m.id(), body)
	}
	return content{body: body}.msg(0, m.id())
}

// withBody is the answer m with another document in it.
func withBody(m message, body bson.Raw) message {
	if m.operation() == opReply {
		return reply(m.id(), m.answers(), body)
	}
	return content{body: body}.msg(m.id(), m.answers())
}
