//go:build linux

package peer

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"time"

	"github.com/parley-chat/parley/internal/bench/wire"
)

const (
	readyPoll    = 10 * time.Millisecond
	readyTimeout = 10 * time.Second
)

// process is a child that is ready when it answers a CONNECT.
type process struct {
	cmd     *exec.Cmd
	output  bytes.Buffer
	exited  chan struct{} // closed when the child is gone and waited for
	tcp, ws string
}

func startProcess(ctx context.Context, tcp, ws, binary string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), exited: make(chan struct{}), tcp: tcp, ws: ws}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // it is killed in the end
	}()
	if err := p.awaitReady(ctx); err != nil {
		p.kill()
		return nil, fmt.Errorf("start %s: %w\n%s", binary, err, p.output.Bytes())
	}
	return p, nil
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := probe(p.tcp)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended with %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-tick.C:
		}
	}
}

func probe(addr string) error {
	c, err := wire.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Connect(wire.Login{ClientID: "probe"}, true); err != nil {
		return err
	}
	return c.Leave()
}

// kill ends the child and waits until it is gone.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // fails only if it is gone already
	<-p.exited
}

// freeAddr finds a port that nobody listens on just now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// freeAddrs finds two.
func freeAddrs() (first, second string, err error) {
	if first, err = freeAddr(); err != nil {
		return "", "", err
	}
	second, err = freeAddr()
	return first, second, err
}
