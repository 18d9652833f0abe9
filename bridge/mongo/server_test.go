package mongo_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// server speaks as much of MongoDB's protocol as it takes to be connected to, and
// answers what a test wants.
type server struct {
	t      *testing.T
	addr   string
	answer func(command string, body bson.Raw) bson.D // nil hangs up

	mu       sync.Mutex
	closed   bool
	conns    []net.Conn
	commands []string
}

func serve(t *testing.T, answer func(command string, body bson.Raw) bson.D) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, addr: listener.Addr().String(), answer: answer}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil || !s.keep(conn) {
				return
			}
			group.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		s.closed = true
		for _, conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		group.Wait()
	})
	return s
}

func (s *server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return false
	}
	s.conns = append(s.conns, conn)
	return true
}

// serve answers the commands of a connection.
func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	for {
		body, reply, err := receive(conn)
		if err != nil {
			return
		}
		elements, err := body.Elements()
		if err != nil || len(elements) == 0 {
			return
		}
		name := elements[0].Key()
		s.mu.Lock()
		s.commands = append(s.commands, name)
		s.mu.Unlock()
		answer := s.answer(name, body)
		if answer == nil {
			return
		}
		data, err := bson.Marshal(answer)
		if err != nil {
			s.t.Error(err)
			return
		}
		if _, err := conn.Write(reply(data)); err != nil {
			return
		}
	}
}

// receive reads a command, in the old form or the new one.
func receive(r io.Reader) (body bson.Raw, reply func(data []byte) []byte, err error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, err
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length < 16 || length > 48_000_000 {
		return nil, nil, errors.New("not MongoDB's protocol")
	}
	rest := make([]byte, length-16)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, nil, err
	}
	id := binary.LittleEndian.Uint32(head[4:])
	switch binary.LittleEndian.Uint32(head[12:]) {
	case 2004: // flags, the collection's name, two numbers, the command
		name := 4
		for rest[name] != 0 {
			name++
		}
		return rest[name+9:], func(data []byte) []byte {
			return compose(id, 1, append(append(make([]byte, 16), 1, 0, 0, 0), data...))
		}, nil
	case 2013: // flags, a kind, the command; then perhaps documents that belong to it
		length := binary.LittleEndian.Uint32(rest[5:])
		body, err := withDocuments(rest[5:5+length], rest[5+length:])
		return body, func(data []byte) []byte {
			return compose(id, 2013, append(make([]byte, 5), data...))
		}, err
	}
	return nil, nil, errors.New("another operation")
}

// withDocuments returns a command with what comes behind it: a kind, a length, the
// name of a field, the documents of that.
func withDocuments(command bson.Raw, rest []byte) (bson.Raw, error) {
	if len(rest) < 5 || rest[0] != 1 {
		return command, nil
	}
	name, documents, ok := bytes.Cut(rest[5:1+binary.LittleEndian.Uint32(rest[1:])], []byte{0})
	if !ok {
		return nil, errors.New("not MongoDB's protocol")
	}
	list := bson.A{}
	for len(documents) > 4 {
		length := binary.LittleEndian.Uint32(documents)
		list, documents = append(list, bson.Raw(documents[:length])), documents[length:]
	}
	var whole bson.D
	if err := bson.Unmarshal(command, &whole); err != nil {
		return nil, err
	}
	return bson.Marshal(append(whole, bson.E{Key: string(name), Value: list}))
}

func compose(answers uint32, operation uint32, payload []byte) []byte {
	head := make([]byte, 16, 16+len(payload))
	binary.LittleEndian.PutUint32(head, uint32(16+len(payload)))
	binary.LittleEndian.PutUint32(head[8:], answers)
	binary.LittleEndian.PutUint32(head[12:], operation)
	return append(head, payload...)
}

// refuse is the answer of a command that failed.
func refuse(code int32, name, message string) bson.D {
	return bson.D{{Key: "ok", Value: 0}, {Key: "code", Value: code}, {Key: "codeName", Value: name}, {Key: "errmsg", Value: message}}
}

// greeting is the answer to hello of a server that can be used, changed by fields.
func greeting(fields ...bson.E) bson.D {
	d := bson.D{
		{Key: "ok", Value: 1}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true},
		{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21},
		{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48_000_000}, {Key: "maxWriteBatchSize", Value: 100_000},
	}
	for _, f := range fields {
		at := -1
		for i := range d {
			if d[i].Key == f.Key {
				at = i
			}
		}
		if at >= 0 {
			d[at] = f
		} else {
			d = append(d, f)
		}
	}
	return d
}

func isHello(command string) bool {
	return command == "hello" || command == "isMaster" || command == "ismaster"
}
