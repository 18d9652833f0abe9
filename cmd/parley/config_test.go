package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	c.AttachmentSize, c.AttachmentLimit, c.AttachmentReserve, c.Clamd, c.ClamdTime = 0, 0, -1, "localhost:3310", time.Hour
	c.TrustedProxies, c.FrameAncestors = []string{"10.0.0.1"}, []string{"example.org"}
	err := c.validate()
	if err == nil {
		t.Fatal("all of this is accepted")
	}
	for _, name := range []string{
		"PARLEY_STORE", "PARLEY_HTTP", "PARLEY_MQTT", "PARLEY_LOG_FORMAT", "PARLEY_SHUTDOWN_TIMEOUT", "PARLEY_TRUSTED_PROXIES", "PARLEY_FRAME_ANCESTORS",
		"PARLEY_TOKEN_LIFE", "PARLEY_TUNNEL_BEAT", "PARLEY_MAX_PENDING", "PARLEY_NEW_VISITORS", "PARLEY_PUBLISH_LIMIT:", "PARLEY_PUBLISH_LIMIT_ADDRESS", "PARLEY_CONNECT_LIMIT:", "PARLEY_CONNECT_LIMIT_ADDRESS",
		"PARLEY_EDIT_VISITOR", "PARLEY_EDIT_STAFF", "PARLEY_ATTACHMENT_SIZE", "PARLEY_ATTACHMENT_LIMIT", "PARLEY_ATTACHMENT_RESERVE",
		"PARLEY_CLAMD:", "PARLEY_CLAMD_TIMEOUT",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is bad and not named in:\n%v", name, err)
		}
	}
}

func TestWhereAttachmentsAre(t *testing.T) {
	embedded, server := location{folder: "/data"}, location{uri: "mongodb://host/parley"}
	for _, tc := range []struct {
		setting string
		store   location
		want    string
	}{
		{"", embedded, "/data/attachments"}, {"/files", embedded, "/files"}, {"off", embedded, ""},
		{"", server, ""}, {"/files", server, "/files"}, {"off", server, ""},
		{"s3://files", embedded, "s3://files"},
	} {
		c := defaultConfig()
		c.Attachments = tc.setting
		if got := c.attachmentFolder(tc.store); got != tc.want {
			t.Errorf("%q with %s: %q, want %q", tc.setting, tc.store, got, tc.want)
		}
	}
}

func TestAttachmentsInS3(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		place, id, secret, file, wrong string
	}{
		"all of it":        {"s3://files?endpoint=http://127.0.0.1:9000", "id", "abc", "", ""},
		"a file":           {"s3://files", "id", "", file, ""},
		"both":             {"s3://files", "id", "abc", file, "PARLEY_S3_SECRET_FILE: give one"},
		"no such file":     {"s3://files", "id", "", file + "s", "PARLEY_S3_SECRET_FILE:"},
		"no keys":          {"s3://files", "", "", "", "give PARLEY_S3_KEY_ID"},
		"no bucket":        {"s3://?region=x", "id", "abc", "", "PARLEY_ATTACHMENTS:"},
		"a key in the URL": {"s3://id:abc@files", "id", "abc", "", "PARLEY_ATTACHMENTS:"},
	} {
		c := defaultConfig()
		c.Attachments, c.S3KeyID, c.S3Secret, c.S3SecretFile = tc.place, tc.id, tc.secret, tc.file
		err := c.validate()
		if tc.wrong == "" && err != nil || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong) || strings.Contains(err.Error(), "abc")) {
			t.Errorf("%s: %v, want %q", what, err, tc.wrong)
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
