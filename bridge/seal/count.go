package seal

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Count tells how much of a site is sealed.
type Count struct {
	Sealed int64 // entries
	Plain  int64 // entries that were written before the site was sealed, or that is not
	Gone   int64 // entries whose text was deleted: there is nothing to seal
}

// countPage is how many entries are read at once.
const countPage = 1000

// CountEntries goes through all entries of a store as it is behind a Store, and returns
// what there is of every site.
func CountEntries(ctx context.Context, p bridge.Portable) (map[string]Count, error) {
	counts := map[string]Count{}
	var last parley.Stream
	for {
		states, err := p.Streams(ctx, last, countPage)
		if err != nil {
			return nil, fmt.Errorf("count entries: %w", err)
		}
		if len(states) == 0 {
			return counts, nil
		}
		for _, state := range states {
			last = state.Stream
			if last == keysStream {
				continue
			}
			c := counts[last.Site()]
			if err := c.add(ctx, p, last); err != nil {
				return nil, fmt.Errorf("count entries: %w", err)
			}
			counts[last.Site()] = c
		}
	}
}

// add counts the entries of a stream.
func (c *Count) add(ctx context.Context, p bridge.Portable, stream parley.Stream) error {
	for after := int64(0); ; {
		page, err := p.Read(ctx, stream, after, countPage)
		if err != nil {
			return err
		}
		for i := range page {
			switch e := &page[i]; {
			case e.Redacted, e.Type == parley.EntryDelete:
				c.Gone++
			case isSealed(e.Body):
				c.Sealed++
			default:
				c.Plain++
			}
			after = page[i].Seq
		}
		if len(page) < countPage {
			return nil
		}
	}
}

// Status is a sealed site's data keys.
type Status struct {
	Site string // everySite stands for sites that are new
	Keys []KeyStatus
}

// KeyStatus is a data key of a site.
type KeyStatus struct {
	Number  uint64
	Masters []string // ids of the master keys that wrap it, the newest wrap last
}

// Status returns the sealed sites, and whether sites are sealed from their beginning.
func (s *Store) Status() (sites []Status, newSites bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.refs() {
		if key.site == everySite {
			continue
		}
		if n := len(sites); n == 0 || sites[n-1].Site != key.site {
			sites = append(sites, Status{Site: key.site})
		}
		k := KeyStatus{Number: key.number}
		for _, w := range s.wraps[key] {
			k.Masters = append(k.Masters, w.Master)
		}
		sites[len(sites)-1].Keys = append(sites[len(sites)-1].Keys, k)
	}
	return sites, s.ring.Load().every
}
