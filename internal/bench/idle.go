//go:build linux

package bench

import (
	"context"

	"github.com/parley-chat/parley/internal/bench/wire"
)

func (s size) idleTCP(ctx context.Context, r *rig, _ uint64) ([]float64, error) {
	return s.idleMemory(ctx, r, func() (*wire.Conn, error) { return wire.Dial(r.broker.TCP()) })
}

func (s size) idleWebSocket(ctx context.Context, r *rig, _ uint64) ([]float64, error) {
	return s.idleMemory(ctx, r, func() (*wire.Conn, error) { return wire.DialWebSocket(r.broker.WebSocket()) })
}

// idleMemory measures what devices cost that are connected, subscribed and
// silent.
func (s size) idleMemory(ctx context.Context, r *rig, connect func() (*wire.Conn, error)) ([]float64, error) {
	all, err := r.broker.Start(ctx, s.idle, 1)
	if err != nil {
		return nil, err
	}
	before, err := r.resident(ctx, s.settle)
	if err != nil {
		return nil, err
	}
	conns, err := dial(ctx, len(all), func(i int) (*wire.Conn, error) {
		return opening{login: all[i].Devices[0], filter: all[i].Messages}.open(connect())
	})
	if err != nil {
		return nil, err
	}
	defer hangUp(conns)
	after, err := r.resident(ctx, s.settle)
	if err != nil {
		return nil, err
	}
	return []float64{(after - before) / 1024 / float64(len(conns))}, nil
}
