package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley"
)

// sitesLife is how long the list of sites is believed: a new origin works after
// this long at the latest.
const sitesLife = 5 * time.Second

// sites answers which web origins may speak to the server. Every WebSocket and
// every request from another origin asks, so the list is kept for a moment.
type sites struct {
	store interface {
		Sites(ctx context.Context) ([]parley.Site, error)
	}

	mu   sync.Mutex
	list []parley.Site
	read time.Time
}

func newSites(store interface {
	Sites(ctx context.Context) ([]parley.Site, error)
}) *sites {
	return &sites{store: store}
}

func (s *sites) all(ctx context.Context) ([]parley.Site, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read.IsZero() && time.Since(s.read) < sitesLife {
		return s.list, nil
	}
	list, err := s.store.Sites(ctx)
	if err != nil {
		return nil, err
	}
	s.list, s.read = list, time.Now()
	return list, nil
}

// origins returns the origins of all sites.
func (s *sites) origins(ctx context.Context) ([]string, error) {
	list, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	var origins []string
	for _, site := range list {
		origins = append(origins, site.Origins...)
	}
	return origins, nil
}

// allowOrigin reports whether pages of origin may connect to a site, or to any
// when site is empty. While the sites cannot be read the answer is no.
func (s *sites) allowOrigin(ctx context.Context, site, origin string) bool {
	list, err := s.all(ctx)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(one parley.Site) bool {
		return (site == "" || one.ID == site) && (slices.Contains(one.Origins, origin) || slices.Contains(one.Origins, "*"))
	})
}
