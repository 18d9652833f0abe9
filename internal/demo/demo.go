// Package demo runs the demo: a supervised server, a cable per device, and a
// scoreboard.
//
//	browser ── page ─────────────▶ pages: the demo page, its buttons, the score
//	   │ iframe per device
//	   └─ cable (TCP proxy) ─────▶ front: device pages │ everything else
//	                                                    ▼
//	                                        server: a child that may be killed
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/device"
)

// Login is an agent of the demo site.
type Login struct {
	Email, Password string
}

// Options say what to run. All addresses must be loopback addresses; the caller
// sees to that. Port 0 is any free port, except for the server's.
type Options struct {
	Executable          string // parley itself
	Data                string // the server's data folder
	HTTP, MQTT, Metrics string // the server's addresses
	Page                string // address of the demo page

	Site, SiteKey string
	// Origins are web origins that may use the demo's site besides its own pages,
	// and Ancestors those that may show the server's pages in a frame.
	Origins, Ancestors []string
	// Agents are the agents of the site. The first one is signed in on the page;
	// the scoreboard reads each conversation as the one who may.
	Agents []Login

	Pages    fs.FS     // the built web files, with demo/index.html and demo/assets/
	Language Language  // of the screen
	Screen   io.Writer // what a person reads while the demo runs
	Logger   *slog.Logger
}

// Where, below the data folder, the demo keeps what is its own.
const (
	ownFolder = "demo"
	logFile   = "server.log"
)

// Demo is a running demo.
type Demo struct {
	options Options
	server  *server
	cables  []*cable
	journal *journal
	referee *referee
	rest    *device.REST
	news    news
	screen  screen

	page, front net.Listener
	pageURL     string
	closers     []func()
	failed      chan error
}

// Start starts everything, prints where it is, and returns when the server is
// ready. On an error nothing is left running. Ending ctx does not stop the
// demo: Close does. While a port is taken nothing is written to the data folder.
func Start(ctx context.Context, o Options) (*Demo, error) {
	d := &Demo{options: o, screen: screen{out: o.Screen, language: o.Language}, failed: make(chan error, 4)}
	for _, step := range []func(context.Context) error{
		d.checkPorts, d.listen, d.openJournal, d.startServer, d.startReferee, d.servePages, d.greet,
	} {
		if err := step(ctx); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// Run runs the demo until ctx ends, which is the ordinary way out, or something
// fails.
func Run(ctx context.Context, o Options) error {
	d, err := Start(ctx, o)
	if ctx.Err() != nil {
		err = nil // Ctrl-C before the demo was up is no failure either
	}
	if d == nil {
		return err
	}
	select {
	case <-ctx.Done():
		d.screen.stopping()
	case err = <-d.failed:
	}
	d.Close()
	return err
}

// PageURL is where the demo page is.
func (d *Demo) PageURL() string { return d.pageURL }

// ServerPID is the process id of the server now, 0 while there is none.
func (d *Demo) ServerPID() int { return d.server.status().PID }

// Close stops the server gracefully, and everything else. Closing twice is
// fine.
func (d *Demo) Close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
	d.closers = nil
}

func (d *Demo) onClose(f func()) { d.closers = append(d.closers, f) }

// fail reports what ends the demo. Only the first few count.
func (d *Demo) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// startServer starts the child and keeps it running in the background.
func (d *Demo) startServer(ctx context.Context) error {
	o := d.options
	s, err := newServer(o, d.serverEnvironment())
	if err != nil {
		return err
	}
	d.server = s
	s.changed = func(e serverEvent) {
		d.screen.server(e)
		d.news.tell()
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready := make(chan error, 1)
	var ended sync.WaitGroup
	ended.Go(func() {
		s.run(life, ready)
	})
	d.onClose(func() {
		stop()
		ended.Wait()
		_ = s.log.Close() // the server wrote it, not we
	})
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serverEnvironment is what makes the child serve the demo site to our pages,
// and to those that the user has named.
func (d *Demo) serverEnvironment() []string {
	return []string{
		"PARLEY_DEMO_SITE=1",
		"PARLEY_DEMO_ORIGINS=" + join(slices.Concat(d.options.Origins, d.deviceOrigins())),
		"PARLEY_FRAME_ANCESTORS=" + join(slices.Concat(d.options.Ancestors, d.pageOrigins())),
	}
}

// startReferee signs the agents in, and begins to judge.
func (d *Demo) startReferee(ctx context.Context) error {
	d.rest = device.NewREST(d.server.url)
	d.onClose(d.rest.Close)
	r := &referee{
		journal: d.journal, rest: d.rest, changed: d.news.tell,
		plugged: func(name deviceName) bool { return !d.cable(name).Frozen() },
	}
	for _, agent := range d.options.Agents {
		session, err := d.rest.Agent(ctx, d.options.Site, agent.Email, agent.Password)
		if err != nil {
			return fmt.Errorf("sign in as %s: %w", agent.Email, err)
		}
		r.sessions = append(r.sessions, session)
	}
	if len(r.sessions) == 0 {
		return errors.New("the demo needs an agent")
	}
	d.referee = r
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { r.run(life) })
	d.onClose(func() {
		stop()
		ended.Wait()
	})
	return nil
}

// agentPage is the agents' page without a demo around it, with the site filled in.
func (d *Demo) agentPage() string { return d.server.url + "/agent/?site=" + d.options.Site }

// greet prints where everything is.
func (d *Demo) greet(ctx context.Context) error {
	line, err := d.terminalLine(ctx)
	if err != nil {
		return err
	}
	o := d.options
	d.screen.greet(facts{
		page: d.pageURL, agent: d.agentPage(), email: o.Agents[0].Email, password: o.Agents[0].Password,
		mqtt: o.MQTT, terminal: line, log: filepath.Join(o.Data, ownFolder, logFile),
	})
	return nil
}

func (d *Demo) openJournal(context.Context) error {
	j, err := openJournal(filepath.Join(d.options.Data, ownFolder), time.Now)
	if err != nil {
		return err
	}
	d.journal = j
	d.onClose(func() {
		if err := j.close(); err != nil {
			d.options.Logger.Error("close journal", "error", err)
		}
	})
	return nil
}
