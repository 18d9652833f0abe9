package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/pflag"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge/access"
	"github.com/parley-chat/parley/bridge/attachment"
	"github.com/parley-chat/parley/bridge/clamd"
	"github.com/parley-chat/parley/bridge/s3"
	"github.com/parley-chat/parley/broker"
	"github.com/parley-chat/parley/internal/clock"
)

// config is every setting of the server. Each can be given as an environment
// variable; the most used ones also as flags, which win.
type config struct {
	// The store is sqlite:FOLDER, which is the embedded one, or the address of a MongoDB-compatible
	// server, mongodb://… or mongodb+srv://…; PARLEY_STORE_FILE names a file that holds it.
	// PARLEY_DATA=FOLDER is short for PARLEY_STORE=sqlite:FOLDER. They must not contradict each other.
	Store     string `env:"PARLEY_STORE"` // may hold a password: never logged
	StoreFile string `env:"PARLEY_STORE_FILE"`
	Data      string `env:"PARLEY_DATA"`
	flagged   bool   // whether a flag says where the store is
	trusting  bool   // whether a server is not tested before it is trusted; only tests of this package do

	// What sites that are sealed are encrypted with: master keys, the newest first, each an id and 32 bytes
	// in base64, a line for each. PARLEY_KEY_FILE names a file that holds them; a server looks at it again
	// every 2 s. See parley key.
	Key     string `env:"PARLEY_KEY"` // never logged
	KeyFile string `env:"PARLEY_KEY_FILE"`

	HTTP    string `env:"PARLEY_HTTP"`    // address of REST, web files and MQTT over WebSocket
	MQTT    string `env:"PARLEY_MQTT"`    // address of MQTT over TCP
	Metrics string `env:"PARLEY_METRICS"` // address of /metrics; keep it private; "off" serves none

	LogLevel  slog.Level `env:"PARLEY_LOG"`        // debug, info, warn, error
	LogFormat string     `env:"PARLEY_LOG_FORMAT"` // text or json

	TrustedProxies []string      `env:"PARLEY_TRUSTED_PROXIES"`  // networks whose X-Forwarded-For is believed
	FrameAncestors []string      `env:"PARLEY_FRAME_ANCESTORS"`  // origins whose pages may show ours in a frame
	ShutdownTime   time.Duration `env:"PARLEY_SHUTDOWN_TIMEOUT"` // bound of a graceful stop
	SessionExpiry  time.Duration `env:"PARLEY_SESSION_EXPIRY"`   // bound of how long an absent device's session is kept
	TokenLife      time.Duration `env:"PARLEY_TOKEN_LIFE"`       // of access tokens, which devices renew
	EditVisitor    time.Duration `env:"PARLEY_EDIT_VISITOR"`     // how long visitors may edit and delete what they sent; 0: never
	EditStaff      time.Duration `env:"PARLEY_EDIT_STAFF"`       // how long agents may; 0: never
	TunnelBeat     time.Duration `env:"PARLEY_TUNNEL_BEAT"`      // longest silence on an HTTP tunnel; less than after what your proxies cut

	// How often something may happen at once, and again in the time that is named. -1: no limit.
	// Behind a proxy that PARLEY_TRUSTED_PROXIES does not name, everybody has its address.
	NewVisitors         int `env:"PARLEY_NEW_VISITORS"`          // made from one address, in 10 minutes; more are refused
	PublishLimit        int `env:"PARLEY_PUBLISH_LIMIT"`         // publishes of one user, in 10 s; more wait, or are refused by REST
	AddressPublishLimit int `env:"PARLEY_PUBLISH_LIMIT_ADDRESS"` // publishes from one address, in 10 s; the same
	ConnectLimit        int `env:"PARLEY_CONNECT_LIMIT"`         // MQTT connects of one user, in a minute; more are refused
	AddressConnectLimit int `env:"PARLEY_CONNECT_LIMIT_ADDRESS"` // MQTT connects from one address, in a minute, a failed one counting for 20; the same
	MaxPending          int `env:"PARLEY_MAX_PENDING"`           // connections that have not logged in; 0: 10,000, or half of the files that may be open

	// Where files are kept that people send: a folder, s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME, or "off". Without it,
	// the folder attachments in that of the embedded store; with a MongoDB-compatible server nowhere. Several servers on one
	// store need one folder, or S3, which needs room for the largest file in the folder for temporary files.
	Attachments       string        `env:"PARLEY_ATTACHMENTS"`
	S3KeyID           string        `env:"PARLEY_S3_KEY_ID"`
	S3Secret          string        `env:"PARLEY_S3_SECRET"`
	S3SecretFile      string        `env:"PARLEY_S3_SECRET_FILE"`     // a file that has it
	AttachmentSize    int64         `env:"PARLEY_ATTACHMENT_SIZE"`    // bytes of one file at most; a user has four times that under way
	AttachmentLimit   int           `env:"PARLEY_ATTACHMENT_LIMIT"`   // uploads begun by one user, in 10 minutes; more are refused; -1: no limit
	AttachmentReserve int64         `env:"PARLEY_ATTACHMENT_RESERVE"` // bytes of the disk that files leave to messages (Linux)
	Clamd             string        `env:"PARLEY_CLAMD"`              // virus scanner, tcp:HOST:PORT or unix:PATH; without it nothing is scanned
	ClamdTime         time.Duration `env:"PARLEY_CLAMD_TIMEOUT"`      // for one file; what is not scanned by then is not taken

	DemoSite    bool     `env:"PARLEY_DEMO_SITE"`    // make the demo site with its two agents; loopback only
	DemoOrigins []string `env:"PARLEY_DEMO_ORIGINS"` // web origins of that site
}

func defaultConfig() config {
	times := parley.DefaultEditTimes()
	return config{
		HTTP: ":8080", MQTT: ":1883", Metrics: "127.0.0.1:9180",
		LogLevel: slog.LevelInfo, LogFormat: "text", ShutdownTime: 10 * time.Second,
		SessionExpiry: 30 * 24 * time.Hour, TokenLife: time.Hour, TunnelBeat: 15 * time.Second, NewVisitors: access.NewVisitors,
		PublishLimit: broker.PublishLimit, AddressPublishLimit: broker.AddressPublishLimit,
		ConnectLimit: broker.ConnectLimit, AddressConnectLimit: broker.AddressConnectLimit,
		EditVisitor: times.Visitor, EditStaff: times.Staff,
		AttachmentSize: attachment.MaxSize, AttachmentLimit: attachment.Uploads, AttachmentReserve: 256 << 20, ClamdTime: 20 * time.Second,
	}
}

// readEnvironment takes the settings that are set.
func (c *config) readEnvironment() error {
	if err := env.Parse(c); err != nil {
		return fmt.Errorf("read settings from the environment: %w", err)
	}
	return nil
}

func (c *config) bindFlags(f *pflag.FlagSet) {
	c.bindStore(f)
	f.StringVar(&c.HTTP, "http", c.HTTP, "address of REST, pages and WebSocket (PARLEY_HTTP)")
	f.StringVar(&c.MQTT, "mqtt", c.MQTT, "address of MQTT over TCP (PARLEY_MQTT)")
	f.StringVar(&c.Metrics, "metrics", c.Metrics, `private address of /metrics, or "off" (PARLEY_METRICS)`)
}

// bindStore binds the flags that say where the store is.
func (c *config) bindStore(f *pflag.FlagSet) {
	f.Var(storeFlag{c, &c.Store}, "store", `the store, sqlite:FOLDER or mongodb://… (PARLEY_STORE, default "sqlite:./data");
everybody on this machine sees a password given here: use PARLEY_STORE_FILE`)
	f.Var(storeFlag{c, &c.Data}, "data", "folder of the embedded store, short for --store sqlite:FOLDER (PARLEY_DATA)")
}

// validate names every bad setting at once, before anything opens.
func (c *config) validate() error {
	var bad []error
	complain := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if _, err := c.location(); err != nil {
		bad = append(bad, err)
	}
	if _, err := c.keySettings().keys(); err != nil {
		bad = append(bad, err)
	}
	for name, address := range map[string]string{"PARLEY_HTTP": c.HTTP, "PARLEY_MQTT": c.MQTT, "PARLEY_METRICS": c.Metrics} {
		if name == "PARLEY_METRICS" && address == "off" {
			continue
		}
		if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
			complain("%s: %q is not an address like 127.0.0.1:8080", name, address)
		}
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		complain("PARLEY_LOG_FORMAT: %q is neither text nor json", c.LogFormat)
	}
	if c.ShutdownTime <= 0 {
		complain("PARLEY_SHUTDOWN_TIMEOUT: must be above 0")
	}
	if c.SessionExpiry < time.Minute || c.SessionExpiry > parley.MaxSessionExpiry {
		complain("PARLEY_SESSION_EXPIRY: must be between 1m and %s", parley.MaxSessionExpiry)
	}
	if c.TokenLife < time.Second || c.TokenLife > 24*time.Hour {
		complain("PARLEY_TOKEN_LIFE: must be between 1s and 24h")
	}
	for name, d := range map[string]time.Duration{"PARLEY_EDIT_VISITOR": c.EditVisitor, "PARLEY_EDIT_STAFF": c.EditStaff} {
		if d < 0 {
			complain("%s: must be 0 or above", name)
		}
	}
	if c.TunnelBeat < time.Second || c.TunnelBeat > time.Minute {
		complain("PARLEY_TUNNEL_BEAT: must be between 1s and 1m")
	}
	if c.MaxPending < 0 {
		complain("PARLEY_MAX_PENDING: must not be below 0")
	}
	for name, limit := range map[string]int{
		"PARLEY_NEW_VISITORS": c.NewVisitors, "PARLEY_PUBLISH_LIMIT": c.PublishLimit, "PARLEY_PUBLISH_LIMIT_ADDRESS": c.AddressPublishLimit,
		"PARLEY_ATTACHMENT_LIMIT": c.AttachmentLimit, "PARLEY_CONNECT_LIMIT": c.ConnectLimit, "PARLEY_CONNECT_LIMIT_ADDRESS": c.AddressConnectLimit,
	} {
		if limit == 0 {
			complain("%s: must be above 0, or -1 for no limit", name)
		}
	}
	bad = append(bad, c.validateAttachments()...)
	if _, err := c.proxies(); err != nil {
		complain("PARLEY_TRUSTED_PROXIES: %v", err)
	}
	for _, origin := range c.FrameAncestors {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" {
			complain("PARLEY_FRAME_ANCESTORS: %q is not an origin like https://example.org", origin)
		}
	}
	if c.DemoSite {
		bad = append(bad, c.validateDemo()...)
	}
	return errors.Join(bad...)
}

func (c *config) validateAttachments() (bad []error) {
	if c.AttachmentSize < 1 || c.AttachmentSize > 1<<30 {
		bad = append(bad, errors.New("PARLEY_ATTACHMENT_SIZE: must be between 1 and 1073741824"))
	}
	if c.AttachmentReserve < 0 {
		bad = append(bad, errors.New("PARLEY_ATTACHMENT_RESERVE: must not be below 0"))
	}
	if c.ClamdTime < time.Second || c.ClamdTime > 40*time.Second {
		bad = append(bad, errors.New("PARLEY_CLAMD_TIMEOUT: must be between 1s and 40s"))
	}
	if s3.Is(c.Attachments) {
		if _, err := c.bucket("", ""); err != nil {
			bad = append(bad, err)
		}
	}
	if c.Clamd != "" {
		if _, err := clamd.New(c.Clamd, c.ClamdTime); err != nil {
			bad = append(bad, fmt.Errorf("PARLEY_CLAMD: %w", err))
		}
	}
	return bad
}

// bucket returns where files are kept if that is S3; see openBlobs.
func (c *config) bucket(owner, former string) (*s3.Bucket, error) {
	secret := c.S3Secret
	if c.S3SecretFile != "" {
		if secret != "" {
			return nil, errors.New("PARLEY_S3_SECRET and PARLEY_S3_SECRET_FILE: give one of them")
		}
		data, err := os.ReadFile(c.S3SecretFile)
		if err != nil {
			return nil, fmt.Errorf("PARLEY_S3_SECRET_FILE: %w", err)
		}
		secret = strings.TrimSpace(string(data))
	}
	if c.S3KeyID == "" || secret == "" {
		return nil, errors.New("PARLEY_ATTACHMENTS is in S3: give PARLEY_S3_KEY_ID, and PARLEY_S3_SECRET or PARLEY_S3_SECRET_FILE")
	}
	b, err := s3.New(s3.Options{Place: c.Attachments, KeyID: c.S3KeyID, Secret: secret, Owner: owner, Former: former, Now: clock.Now})
	if err != nil {
		return nil, fmt.Errorf("PARLEY_ATTACHMENTS: %w", err)
	}
	return b, nil
}

// bindAttachments binds the flag that says where files are.
func (c *config) bindAttachments(f *pflag.FlagSet) {
	f.StringVar(&c.Attachments, "attachments", c.Attachments, `where the files are that people send, a folder or s3://…; "off" leaves them out (PARLEY_ATTACHMENTS,
default the folder attachments in that of the embedded store)`)
}

// attachmentFolder returns where files are kept, empty if nowhere.
func (c *config) attachmentFolder(store location) string {
	switch {
	case c.Attachments == "off":
		return ""
	case c.Attachments == "" && store.folder != "":
		return filepath.Join(store.folder, "attachments")
	}
	return c.Attachments
}

// validateDemo keeps the well-known password of the demo off the network.
func (c *config) validateDemo() (bad []error) {
	for _, address := range []string{c.HTTP, c.MQTT} {
		if err := loopbackOnly(address); err != nil {
			bad = append(bad, err)
		}
	}
	return bad
}

// loopbackOnly refuses an address that other machines can reach.
func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address like 127.0.0.1:8080", address)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("the demo has a well-known password and listens on loopback only: %q is not a loopback address", address)
}

func (c *config) proxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network like 10.0.0.0/8", s)
		}
		networks = append(networks, p)
	}
	return networks, nil
}

func (c *config) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
