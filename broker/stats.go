package broker

import "sync/atomic"

// Stats counts what a Broker did since it started.
type Stats struct {
	Connected        int64 // connections logged in now
	Tunnels          int64 // tunnels that are open now
	Connects         int64 // logins
	RefusedConnects  int64 // CONNECTs refused
	LimitedConnects  int64 // of these, because their user or address connects too often
	Silent           int64 // connections now that have not said CONNECT
	Waiting          int64 // connections now whose turn to log in has not come
	TurnedAway       int64 // connections closed because too many had not logged in
	Abandoned        int64 // connections that their clients ended before their turn came
	Takeovers        int64 // connections closed because their device connected again
	Published        int64 // publishes acknowledged, refusals included
	RefusedPublishes int64 // publishes refused for good
	Slowed           int64 // publishes that waited because their user sent too many
	RecordRetries    int64 // tries of the log that failed and were made again
	Delivered        int64 // entries sent
	Acknowledged     int64 // deliveries acknowledged
	Signals          int64 // signals passed on, if only to nobody
	SignalsDropped   int64 // signals that were too many, or for a client that does not read
	TooBig           int64 // entries not sent because the client takes no packet of that size
	Panics           int64 // connections ended by a panic
}

type stats struct {
	connected, connects, refusedConnects, turnedAway, takeovers atomic.Int64
	limitedConnects, abandoned                                  atomic.Int64
	published, refusedPublishes, recordRetries, slowed          atomic.Int64
	delivered, acknowledged, tooBig, panics                     atomic.Int64
	signals, signalsDropped                                     atomic.Int64
}

// Stats returns the counters.
func (b *Broker) Stats() Stats {
	s := &b.stats
	silent, waiting, _ := b.gate.queued()
	return Stats{
		Silent: int64(silent), Waiting: int64(waiting), LimitedConnects: s.limitedConnects.Load(), Abandoned: s.abandoned.Load(),
		Connected: s.connected.Load(), Tunnels: b.tunnels.count(), Connects: s.connects.Load(), RefusedConnects: s.refusedConnects.Load(),
		TurnedAway: s.turnedAway.Load(), Takeovers: s.takeovers.Load(),
		Published: s.published.Load(), RefusedPublishes: s.refusedPublishes.Load(), RecordRetries: s.recordRetries.Load(), Slowed: s.slowed.Load(),
		Delivered: s.delivered.Load(), Acknowledged: s.acknowledged.Load(), Signals: s.signals.Load(), SignalsDropped: s.signalsDropped.Load(), TooBig: s.tooBig.Load(), Panics: s.panics.Load(),
	}
}
