package mongo_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/parley-chat/parley/bridge/mongo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greeted answers hello with d, and all else with an error.
func greeted(d bson.D) func(string, bson.Raw) bson.D {
	return func(command string, _ bson.Raw) bson.D {
		if isHello(command) {
			return d
		}
		return refuse(59, "CommandNotFound", "no such command")
	}
}

// TestOpenExplains opens stores on servers that cannot be used: who runs Parley
// must learn what to do, and nobody a password.
func TestOpenExplains(t *testing.T) {
	set := func(name string, primary bool) bson.D {
		return greeting(bson.E{Key: "setName", Value: name}, bson.E{Key: "isWritablePrimary", Value: primary}, bson.E{Key: "secondary", Value: !primary})
	}
	for name, c := range map[string]struct {
		answer func(string, bson.Raw) bson.D
		uri    string // %s is the server's address
		want   string
	}{
		"nothing listens":        {uri: "mongodb://" + unused(t), want: "nothing listens"},
		"a web server listens":   {uri: "mongodb://" + web(t), want: "no MongoDB"},
		"no such host":           {uri: "mongodb://nowhere.invalid", want: "host name"},
		"not an address":         {uri: "mongodb://ann:s3cr%t@db:port/x", want: "must be written as %"},
		"another scheme":         {uri: "http://ann:s3cret@db", want: "not one of MongoDB's"},
		"an unknown option":      {uri: "mongodb://ann:s3cret@db/?w=nonsense&tls=maybe", want: "not one of MongoDB's"},
		"too old":                {greeted(greeting(bson.E{Key: "maxWireVersion", Value: 6})), "mongodb://%s", "needs MongoDB 4.4 or newer"},
		"old by its own account": {versioned("4.2.1"), "mongodb://%s", "is MongoDB 4.2.1, Parley needs 4.4"},
		"a secondary":            {greeted(set("rs", false)), "mongodb://%s/?directConnection=true", "not the primary"},
		"no primary":             {greeted(set("rs", false)), "mongodb://%s/?replicaSet=rs", "no primary"},
		"another set":            {greeted(set("theirs", true)), "mongodb://%s/?replicaSet=ours", `is in the replica set "theirs", the address says "ours"`},
		"no set":                 {greeted(greeting()), "mongodb://%s/?replicaSet=ours", "not in a replica set"},
		"speaks plainly":         {greeted(greeting()), "mongodb://%s/?tls=true", "leave it out"},
		"wants TLS":              {func(string, bson.Raw) bson.D { return nil }, "mongodb://%s", "tls=true"},
		"wrong password":         {authenticating, "mongodb://ann:s3cret@%s", "user name or the password"},
		"no rights":              {forbidding, "mongodb://%s", "readWrite"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uri := c.uri
			if c.answer != nil {
				uri = fmt.Sprintf(uri, serve(t, c.answer).addr)
			}
			var log bytes.Buffer
			s, err := mongo.Open(t.Context(), mongo.Options{
				URI: uri, Attempt: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
			if told := err.Error() + log.String(); strings.Contains(told, "s3cr") {
				t.Errorf("the password is told: %s", told)
			}
		})
	}
}

// unused returns an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// web returns the address of a server that answers what it does not understand in HTTP.
func web(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			_, _ = conn.Read(make([]byte, 1000))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func versioned(version string) func(string, bson.Raw) bson.D {
	return func(command string, _ bson.Raw) bson.D {
		switch {
		case isHello(command):
			return greeting()
		case command == "buildInfo":
			return bson.D{{Key: "ok", Value: 1}, {Key: "version", Value: version}}
		case command == "find":
			return nothing()
		}
		return bson.D{{Key: "ok", Value: 1}}
	}
}

// nothing is the answer to a find.
func nothing() bson.D {
	return bson.D{{Key: "ok", Value: 1}, {Key: "cursor", Value: bson.D{
		{Key: "id", Value: int64(0)}, {Key: "ns", Value: "parley.meta"}, {Key: "firstBatch", Value: bson.A{}},
	}}}
}

func authenticating(command string, _ bson.Raw) bson.D {
	if isHello(command) {
		return greeting(bson.E{Key: "saslSupportedMechs", Value: bson.A{"SCRAM-SHA-256"}})
	}
	return refuse(18, "AuthenticationFailed", "Authentication failed.")
}

func forbidding(command string, _ bson.Raw) bson.D {
	if isHello(command) {
		return greeting()
	}
	return refuse(13, "Unauthorized", "not authorized on parley to execute command")
}
