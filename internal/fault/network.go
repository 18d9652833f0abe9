package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/netns"
	"github.com/parley-chat/parley/internal/fault/server"
)

// networked opens a world whose server can be reached from network namespaces:
// the demo's site is made on loopback first, for it is not made elsewhere.
func (l *Lab) networked(ctx context.Context, act func(context.Context, *world) error) error {
	host, err := netns.Claim(ctx)
	if err != nil {
		return err
	}
	defer host.Close()
	l.host = host
	config := server.Config{Binary: l.Binary, Env: []string{server.DemoSite}}
	if config.Data, err = os.MkdirTemp(l.Folder, "data-"); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	first, err := server.New(config)
	if err != nil {
		return err
	}
	if err := first.Start(ctx); err != nil {
		return err
	}
	stop, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if err := first.Stop(stop); err != nil {
		return err
	}
	config.Env = []string{"PARLEY_DEMO_SITE=0"}
	for _, addr := range []*string{&config.HTTP, &config.MQTT} {
		if *addr, err = server.FreeAddr(ctx, host.Server()); err != nil {
			return err
		}
	}
	return l.within(ctx, config, act)
}

// remote is a visitor behind a cable: a device that writes and one that reads,
// in a namespace, and a friend of theirs, who writes into the same conversation
// with a good network. Our TypeScript client writes and reads in one device.
type remote struct {
	world        *world
	network      *netns.Namespace
	conversation string
	owner        *device.Session
	writer       *device.Process
	reader       *device.Process
	friend       *device.Publisher
}

// remote makes one of the kind in namespace n.
func (w *world) remote(ctx context.Context, n int, kind device.Kind, vigil time.Duration) (*remote, error) {
	network, err := w.host.New(ctx, n)
	if err != nil {
		return nil, err
	}
	r := &remote{world: w, network: network}
	if r.friend, err = w.friend(ctx); err != nil {
		return r, err
	}
	r.conversation, r.owner = r.friend.Conversation, r.friend.Session
	part := device.Part{
		Kind: kind, URL: w.server.URL(), MQTT: w.server.MQTT(), Vigil: vigil, Window: 20, Conversation: r.conversation, Publishes: true,
	}
	if r.writer, err = r.start(ctx, part); err != nil {
		return r, err
	}
	r.reader = r.writer
	if kind != device.Web {
		part.Publishes = false
		if r.reader, err = r.start(ctx, part); err != nil {
			return r, err
		}
	}
	return r, r.await(ctx)
}

// friend makes a visitor who writes from here.
func (w *world) friend(ctx context.Context) (*device.Publisher, error) {
	e := device.Endpoint{REST: w.rest, MQTT: w.server.MQTT()}
	p, err := w.visitor(ctx, device.Raw5, e, 20)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// start starts a device of the visitor in the namespace.
func (r *remote) start(ctx context.Context, part device.Part) (*device.Process, error) {
	s, err := r.world.rest.SameVisitor(ctx, server.SiteKey, r.owner)
	if err != nil {
		return nil, err
	}
	part.Credentials = s.Credentials()
	return device.Start(ctx, r.network.Prefix(), r.world.Binary, r.world.Client, part)
}

// await lets everybody say a word, and waits until the reader shows it. What
// the reader is owed begins with the first entry that it shows.
func (r *remote) await(ctx context.Context) error {
	err := await(ctx, setupTimeout, func() string {
		if r.reader.Shown(r.conversation) > 0 {
			return ""
		}
		if r.friend.Pending() == 0 {
			r.friend.Send("are you there?")
		}
		return fmt.Sprintf("a device in a namespace shows nothing: %v", r.reader.Err())
	})
	if err != nil {
		return err
	}
	if err := r.writer.Send(1); err != nil {
		return err
	}
	err = await(ctx, setupTimeout, func() string {
		if n := r.writer.Pending(); n > 0 {
			return fmt.Sprintf("a device in a namespace does not get through: %v", r.writer.Err())
		}
		return ""
	})
	if err != nil {
		return err
	}
	r.world.lock.Lock()
	defer r.world.lock.Unlock()
	r.world.readers = append(r.world.readers, latecomer{r.reader, r.conversation})
	if r.writer != r.reader {
		r.world.writers = append(r.world.writers, r.writer)
	}
	return nil
}

func (r *remote) close() {
	for _, p := range []*device.Process{r.writer, r.reader} {
		if p != nil {
			p.Kill()
		}
	}
	r.network.Close()
}

// caughtUp waits until the reader shows everything that is stored by now, and
// everything that the writer has is acknowledged, and tells how long that took
// since.
func (r *remote) caughtUp(ctx context.Context, since time.Time, limit time.Duration) (time.Duration, error) {
	head, err := r.world.rest.Head(ctx, r.owner, r.conversation)
	if err != nil {
		return 0, err
	}
	owed := head - r.firstShown()
	err = await(ctx, limit, func() string {
		shown := r.reader.Shown(r.conversation)
		if shown < owed || r.writer.Pending() > 0 {
			return fmt.Sprintf("a device shows %d of %d entries, %d are not acknowledged: %v, %v", shown, owed, r.writer.Pending(), r.reader.Err(), r.writer.Err())
		}
		return ""
	})
	return time.Since(since), err
}

// firstShown is how many entries came before the first one that is owed.
func (r *remote) firstShown() int {
	return int(latecomer{r.reader, r.conversation}.after())
}

// latecomer is a reader that does not tell when it has subscribed: it is owed
// what comes behind the first entry that it has shown.
type latecomer struct {
	*device.Process
	conversation string
}

func (l latecomer) after() int64 {
	for _, r := range l.Process.Records() {
		if r.Event == checker.Shown {
			return r.Seq - 1
		}
	}
	return 0
}

// Owed is what comes behind the first entry that it has shown.
func (l latecomer) Owed() []record {
	return []record{{
		Device: l.Session.ClientID(), User: l.Session.User, Event: checker.Follows, Conversation: l.conversation, Seq: l.after(),
	}}
}

// remotes makes n of each kind, in namespaces of their own, and lets use have
// each in a goroutine. Everything is removed afterwards.
func (w *world) remotes(ctx context.Context, n int, kinds []device.Kind, vigil time.Duration, use func(context.Context, *remote, device.Kind) error) error {
	var all []*remote
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i, kind := range kinds {
		for j := range n {
			r, err := w.remote(ctx, 1+i*n+j, kind, vigil)
			if r != nil {
				all = append(all, r)
				w.closers = append(w.closers, r.close)
			}
			if err != nil {
				return err
			}
		}
	}
	for i, r := range all {
		wg.Go(func() {
			if err := use(ctx, r, kinds[i/n]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", kinds[i/n], err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
