package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// TestMain lets this test binary play the database.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "--listen" {
		main()
		return
	}
	os.Exit(m.Run())
}

// child is a database that can be killed.
type child struct {
	t    *testing.T
	addr string
	data string
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
}

func (c *child) start() {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0], "--listen", c.addr, "--data", c.data, "--set", "rs")
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.kill)
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *child) tell(mood string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, mood); err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

func newChild(t *testing.T) *child {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return &child{t: t, addr: free.Addr().String(), data: t.TempDir()}
}

func connect(t *testing.T, addr string) *mongo.Collection {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client.Database("parley").Collection("numbers")
}

func TestKilledAndStartedAgain(t *testing.T) {
	c := newChild(t)
	c.start()
	numbers := connect(t, c.addr)
	for n := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := numbers.InsertOne(ctx, bson.D{{Key: "_id", Value: n}})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		c.kill()
		c.start()
	}
	if n, err := numbers.CountDocuments(t.Context(), bson.D{}); n != 3 || err != nil {
		t.Errorf("%d are there (%v), want 3", n, err)
	}
}

func TestMoods(t *testing.T) {
	c := newChild(t)
	c.start()
	numbers := connect(t, c.addr)
	n := 0
	insert := func(limit time.Duration) error {
		n++
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := numbers.InsertOne(ctx, bson.D{{Key: "_id", Value: n}})
		return err
	}
	const enough = 20 * time.Second
	for _, mood := range []string{"refuse", "reset", "no-primary", "slow 10s", "hang", "stumble 1"} {
		if got := c.tell(mood); got != "ok" {
			t.Fatalf("%s: %s", mood, got)
		}
		if err := insert(200 * time.Millisecond); err == nil {
			t.Errorf("%s: an insert succeeded", mood)
		}
		if got := c.tell("fine"); got != "ok" {
			t.Fatalf("fine: %s", got)
		}
		if err := insert(enough); err != nil {
			t.Errorf("after %s: %v", mood, err)
		}
	}
	for _, mood := range []string{"", "happy", "slow", "stumble often"} {
		if c.tell(mood) == "ok" {
			t.Errorf("%q is a mood", mood)
		}
	}
}
