package access

import (
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/pace"
)

// One address may make NewVisitors new visitors at once, and as often again in
// every NewVisitorsTime. An office or a mobile network has many people behind an
// address; a script has no end.
const (
	NewVisitors     = 200
	NewVisitorsTime = 10 * time.Minute
)

// maxNewcomerKeys bounds the addresses that are remembered, to about a megabyte.
const maxNewcomerKeys = 10_000

// newcomers limits how fast an address makes new visitors.
type newcomers struct{ *pace.Limiter }

func newNewcomers(now func() time.Time, most int) newcomers {
	return newcomers{pace.New(now, most, NewVisitorsTime, maxNewcomerKeys)}
}

// take counts a new visitor, or refuses it with CodeRateLimited. An address that
// is not known is not limited.
func (n newcomers) take(remoteIP string) error {
	key := ipKey(remoteIP)
	if key == "" {
		return nil
	}
	if wait := n.Take(key); wait > 0 {
		return parley.Limited(wait, "too many new visitors from this address; try again in %d seconds", parley.Seconds(wait))
	}
	return nil
}
