// Command ferretd serves an embedded FerretDB behind a proxy that makes trouble, until
// it is killed: the database of tests that kill it, or make it slow.
//
// Each line on its standard input is a mood, see moods.go; the answer is a line,
// "ok" once it holds, or what is wrong with it.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/parley-chat/parley/bridge/mongo/ferret"
	"github.com/parley-chat/parley/bridge/mongo/wire"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ferretd:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	listen := flag.String("listen", "127.0.0.1:27017", "the address to listen on")
	data := flag.String("data", "", "the folder of the database, which must exist")
	set := flag.String("set", "", "say that this is the one member of the replica set of that name")
	flag.Parse()
	if *data == "" {
		return errors.New("--data is missing")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := ferret.New("127.0.0.1:0", *data, log)
	if err != nil {
		return err
	}
	behind, err := url.Parse(s.URI())
	if err != nil {
		return fmt.Errorf("find the database: %w", err)
	}
	p, err := wire.Listen(*listen, behind.Host)
	if err != nil {
		return err
	}
	defer p.Close()
	p.InSet(*set)
	p.Limit(ferret.Capacity, ferret.AtOnce)
	go obey(p, in, out)
	return s.Run(ctx)
}

// obey takes moods until there are no more; the database goes on in the last one.
func obey(p *wire.Proxy, in io.Reader, out io.Writer) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer := "ok"
		if err := turn(p, lines.Text()); err != nil {
			answer = err.Error()
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return // nobody listens
		}
	}
}
