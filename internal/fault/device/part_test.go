package device_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
)

// An app that is killed while it writes leaves half a line, which never counts.
func TestOutboxWithHalfALine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "outbox")
	if records, err := device.ReadOutbox(name); err != nil || len(records) != 0 {
		t.Fatalf("an outbox that is not there yet: %v, %v", records, err)
	}
	const line = `{"device":"d","event":"sent","conversation":"c","id":"msg_1"}` + "\n"
	if err := os.WriteFile(name, []byte(line+`{"device":"d","ev`), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := device.ReadOutbox(name)
	if err != nil || len(records) != 1 || records[0].Event != checker.Sent {
		t.Errorf("read %v, %v", records, err)
	}
	if data, err := os.ReadFile(name); err != nil || string(data) != line {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

// What an earlier process has sent and not seen settled is sent again.
func TestRestore(t *testing.T) {
	s := device.Credentials{Site: "s", User: "u", Device: "d"}.Session()
	p := device.NewPublisherOf(device.Raw5, device.Endpoint{}, s, "c", 1)
	p.Restore([]checker.Record{
		{Event: checker.Sent, ID: "msg_1"}, {Event: checker.Sent, ID: "msg_2"}, {Event: checker.Acked, ID: "msg_1"},
	})
	if p.Pending() != 1 || len(p.Records()) != 3 {
		t.Errorf("%d are pending of %v", p.Pending(), p.Records())
	}
}
