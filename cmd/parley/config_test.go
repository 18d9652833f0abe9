package main

import (
	"strings"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	c := defaultConfig()
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
}

func TestValidateNamesEveryBadSetting(t *testing.T) {
	c := defaultConfig()
	c.Store, c.HTTP, c.MQTT, c.Metrics = "postgres://", "nowhere", "127.0.0.1:99999", ""
	c.LogFormat, c.ShutdownTime = "xml", 0
	c.TokenLife, c.TunnelBeat, c.MaxPending, c.NewVisitors = 0, 0, -1, 0
	c.PublishLimit, c.AddressPublishLimit, c.ConnectLimit, c.AddressConnectLimit = 0, 0, 0, 0
	c.EditVisitor, c.EditStaff = -1, -1
	c.TrustedProxies, c.FrameAncestors = []string{"10.0.0.1"}, []string{"example.org"}
	err := c.validate()
	if err == nil {
		t.Fatal("all of this is accepted")
	}
	for _, name := range []string{
		"PARLEY_STORE", "PARLEY_HTTP", "PARLEY_MQTT", "PARLEY_LOG_FORMAT", "PARLEY_SHUTDOWN_TIMEOUT", "PARLEY_TRUSTED_PROXIES", "PARLEY_FRAME_ANCESTORS",
		"PARLEY_TOKEN_LIFE", "PARLEY_TUNNEL_BEAT", "PARLEY_MAX_PENDING", "PARLEY_NEW_VISITORS", "PARLEY_PUBLISH_LIMIT:", "PARLEY_PUBLISH_LIMIT_ADDRESS", "PARLEY_CONNECT_LIMIT:", "PARLEY_CONNECT_LIMIT_ADDRESS",
		"PARLEY_EDIT_VISITOR", "PARLEY_EDIT_STAFF",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is bad and not named in:\n%v", name, err)
		}
	}
}

func TestTheDemoStaysOnLoopback(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "[::1]:8080": true, "127.8.8.8:1": true,
		":8080": false, "0.0.0.0:8080": false, "192.0.2.1:8080": false, "[::]:8080": false, "example.org:80": false, "8080": false,
	} {
		if err := loopbackOnly(address); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
	c := defaultConfig()
	c.DemoSite = true
	if c.validate() == nil {
		t.Error("the demo's password is on every interface")
	}
}

func TestSettingsFromTheEnvironment(t *testing.T) {
	t.Setenv("PARLEY_DATA", "/somewhere")
	t.Setenv("PARLEY_LOG", "debug")
	t.Setenv("PARLEY_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")
	c := defaultConfig()
	if err := c.readEnvironment(); err != nil {
		t.Fatal(err)
	}
	networks, err := c.proxies()
	if c.Data != "/somewhere" || c.LogLevel.String() != "DEBUG" || len(networks) != 2 || err != nil || c.HTTP != ":8080" {
		t.Errorf("got %+v, %v", c, err)
	}
	t.Setenv("PARLEY_LOG", "loud")
	if c.readEnvironment() == nil {
		t.Error("a log level that does not exist is accepted")
	}
}
