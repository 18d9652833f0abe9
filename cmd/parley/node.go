package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/attachment"
	"github.com/parley-chat/parley/bridge/seal"
	"github.com/parley-chat/parley/broker"
	"github.com/parley-chat/parley/internal/clock"
)

// node is the assembled server. Tests start one on port 0.
type node struct {
	config config
	log    *slog.Logger

	store  store
	seal   *seal.Store // in front of it
	stored func() []api.Sample
	access *access.Access
	bridge *bridge.Bridge
	broker *broker.Broker
	sites  *sites
	keeper *attachment.Keeper // nil if the server takes no attachments
	blobs  blobs              // what files are as they are kept, perhaps sealed; nil then, too

	public, private    *http.Server
	httpAddr, mqttAddr net.Addr
	metricsAddr        net.Addr
	failed             chan error
	closers            []closer
}

// closer is one step of closing, in reverse order of opening.
type closer struct {
	name  string
	close func(ctx context.Context) error
}

// openNode opens everything and begins to serve. On an error nothing is left
// open.
func openNode(ctx context.Context, c config, log *slog.Logger) (*node, error) {
	n := &node{config: c, log: log, failed: make(chan error, 3)}
	for _, step := range []func(context.Context) error{n.openStore, n.openRooms, n.provision, n.serveMQTT, n.serveHTTP, n.serveMetrics, n.serveBackups} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.close(context.WithoutCancel(ctx)))
		}
	}
	return n, nil
}

func (n *node) onClose(name string, close func(ctx context.Context) error) {
	n.closers = append(n.closers, closer{name, close})
}

// close stops serving and closes everything, and keeps the first error.
func (n *node) close(ctx context.Context) error {
	var first error
	for i := len(n.closers) - 1; i >= 0; i-- {
		c := n.closers[i]
		if err := c.close(ctx); err != nil && first == nil {
			first = fmt.Errorf("close %s: %w", c.name, err)
		}
	}
	n.closers = nil
	return first
}

func (n *node) openStore(ctx context.Context) error {
	l, err := n.config.location()
	if err != nil {
		return err
	}
	if n.store, n.stored, err = l.open(ctx, probeStore && !n.config.trusting, n.log); err != nil {
		return err
	}
	n.onClose("store", func(context.Context) error { return n.store.Close() })
	if n.seal, err = n.config.keySettings().open(ctx, n.store, seal.Options{Logger: n.log}); err != nil {
		return err
	}
	tellSealed(n.log, n.seal, n.config.keySettings())
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	if file := n.config.KeyFile; file != "" {
		watch.Go(func() { watchKeys(watching, file, n.seal, n.log) })
	}
	n.onClose("seal", func(context.Context) error {
		stop()
		watch.Wait()
		return n.seal.Close()
	})
	return nil
}

func (n *node) openRooms(ctx context.Context) error {
	var err error
	revoked := func(r parley.Revocation) { n.broker.Revoke(r) }
	if n.access, err = access.New(ctx, n.store, access.Options{
		Now: clock.Now, Revoked: revoked, NewVisitors: n.limit(n.config.NewVisitors, access.NewVisitors), TokenLife: n.config.TokenLife,
	}); err != nil {
		return err
	}
	n.sites = newSites(n.store)
	n.broker = broker.New(broker.Options{
		Auth: n.access, Sessions: n.store, Logger: n.log, Now: clock.Now, AllowOrigin: n.sites.allowOrigin,
		SessionExpiry: n.config.SessionExpiry,
		PublishLimit:  n.limit(n.config.PublishLimit, broker.PublishLimit), AddressPublishLimit: n.limit(n.config.AddressPublishLimit, broker.AddressPublishLimit),
		ConnectLimit: n.limit(n.config.ConnectLimit, broker.ConnectLimit), AddressConnectLimit: n.limit(n.config.AddressConnectLimit, broker.AddressConnectLimit),
		MaxPending: n.config.MaxPending, TunnelBeat: n.config.TunnelBeat,
	})
	times := parley.EditTimes{Visitor: n.config.EditVisitor, Staff: n.config.EditStaff}
	if n.bridge, err = bridge.New(ctx, n.seal, bridge.Options{Logger: n.log, EditTimes: &times, Now: clock.Now, Released: n.released}, n.broker); err != nil {
		return err
	}
	n.onClose("bridge", func(context.Context) error { return n.bridge.Close() })
	if err := n.openAttachments(); err != nil {
		return err
	}
	if err := n.broker.Start(n.bridge); err != nil {
		return err
	}
	n.onClose("broker", n.broker.Close)
	return nil
}

// limit returns a configured limit. The demo, which only this machine can reach,
// has those only that differ from what they are otherwise.
func (n *node) limit(configured, otherwise int) int {
	if n.config.DemoSite && configured == otherwise {
		return -1
	}
	return configured
}

func (n *node) serveMQTT(ctx context.Context) error {
	l, err := listen(ctx, "MQTT", n.config.MQTT)
	if err != nil {
		return err
	}
	n.mqttAddr = l.Addr()
	n.broker.ServeTCP(l)
	return nil
}

func (n *node) serveHTTP(ctx context.Context) error {
	proxies, err := n.config.proxies()
	if err != nil {
		return err
	}
	var attachments api.Attachments
	if n.keeper != nil { // a nil pointer in an interface is not nil
		attachments = n.keeper
	}
	server, err := api.New(api.Options{
		Attachments: attachments,
		Log:         n.bridge, Access: n.access, Ready: n.bridge.Ready, MQTT: n.broker.Handler(), Now: clock.Now, TakePublish: n.broker.TakePublish,
		Origins: n.sites.origins, FrameAncestors: n.config.FrameAncestors, TrustedProxies: proxies,
		Samples: n.samples(), Logger: n.log,
	})
	if err != nil {
		return err
	}
	l, err := listen(ctx, "HTTP", n.config.HTTP)
	if err != nil {
		return err
	}
	n.httpAddr = l.Addr()
	n.public = n.serve("http", l, server.Public())
	n.onClose("tunnels", func(context.Context) error { n.broker.CloseTunnels(); return nil })
	n.private = api.NewHTTPServer(server.Private(), n.log)
	return nil
}

func (n *node) serveMetrics(ctx context.Context) error {
	if n.config.Metrics == "off" {
		return nil
	}
	l, err := listen(ctx, "metrics", n.config.Metrics)
	if err != nil {
		return err
	}
	n.metricsAddr = l.Addr()
	n.serve("metrics", l, n.private.Handler)
	return nil
}

// serve runs an HTTP server until close.
func (n *node) serve(name string, l net.Listener, h http.Handler) *http.Server {
	server := api.NewHTTPServer(h, n.log)
	server.ConnContext = broker.ConnContext
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("serve %s: %w", name, err)
		}
	}()
	n.onClose(name, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if err != nil {
			_ = server.Close()
		}
		<-ended
		return err
	})
	return server
}

func listen(ctx context.Context, what, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w (is another server running on this port?)", what, err)
	}
	return l, nil
}

// run serves until ctx is done or a listener fails, and closes.
func (n *node) run(ctx context.Context) error {
	var failure error
	select {
	case <-ctx.Done():
		n.log.Info("stopping")
	case failure = <-n.failed:
		n.log.Error("a listener failed", "error", failure)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.config.ShutdownTime)
	defer cancel()
	started := time.Now()
	err := n.close(stop)
	n.log.Info("stopped", "took", time.Since(started).Round(time.Millisecond))
	return errors.Join(failure, err)
}
