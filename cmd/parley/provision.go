package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
)

// The demo's site and agents. The password is public: validateDemo keeps it on
// loopback.
const (
	demoSite     = "demo"
	demoSiteKey  = "demo-key"
	demoEmail    = "agent@example.com"
	demoSecond   = "second@example.com"
	demoPassword = "parley-demo"
)

// provision makes the demo's site and agents when asked to. It is idempotent.
func (n *node) provision(ctx context.Context) error {
	if !n.config.DemoSite {
		return nil
	}
	site := parley.Site{ID: demoSite, Key: demoSiteKey, Name: "Parley demo", Origins: n.config.DemoOrigins}
	_, _, err := n.access.Provision(ctx, site, []access.NewAccount{
		{Email: demoEmail, Name: "李雷 Li Lei", Role: parley.RoleAgent, Password: demoPassword},
		{Email: demoSecond, Name: "韩梅梅 Han Meimei", Role: parley.RoleAgent, Password: demoPassword},
	})
	if err != nil {
		return fmt.Errorf("make the demo site: %w", err)
	}
	debug.FreeOSMemory() // hashing the passwords took 19 MiB each, which a small server has other uses for
	return nil
}
