package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout is how long a server may take to say that it can store messages.
const healthTimeout = 4 * time.Second

func newHealthcheck() *cobra.Command {
	c := defaultConfig()
	var environment error
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server on this machine whether it can store messages now",
		Long: `Ask /readyz of the server that has the same PARLEY_HTTP. Ends with 0 if messages
can be stored, with 1 and the reason if not. For containers and supervisors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if environment != nil {
				return environment
			}
			return askReady(cmd.Context(), c.HTTP)
		},
	}
	environment = c.readEnvironment() // before the flag, which shows it as its default
	cmd.Flags().StringVar(&c.HTTP, "http", c.HTTP, "address that the server listens on (PARLEY_HTTP)")
	return cmd
}

// askReady asks the server that listens on address. What it does not say in time it
// does not say.
func askReady(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("PARLEY_HTTP: %q is not an address like 127.0.0.1:8080", address)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // it listens on all of the machine's addresses
		if err == nil && ip.Is4() {
			host = "127.0.0.1"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // without the proxies of the environment
	answer, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct{ Detail string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(&problem) // the status says enough
	return fmt.Errorf("the server is not ready: %s %s", answer.Status, problem.Detail)
}
