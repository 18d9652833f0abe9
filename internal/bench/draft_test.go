package bench

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/fault/device"
)

func TestSerialOf(t *testing.T) {
	id := idKey + strings.Repeat("f", seedDigits)
	tests := []struct {
		name, payload string
		want          int
		ok            bool
	}{
		{"a draft", `{` + id + `000000000042","type":"text"}`, 42, true},
		{"an entry", `{"seq":7,"epoch":"epo_1",` + id + `123456789012","sender":"vis_1"}`, 123456789012, true},
		{"of the server", `{"seq":1,"id":"reader:1","type":"opened"}`, 0, false},
		{"cut", `{` + id + `0000`, 0, false},
		{"another's id", `{` + id + `00000000004x"}`, 0, false},
		{"empty", ``, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := serialOf([]byte(tt.payload)); got != tt.want || ok != tt.ok {
				t.Errorf("serialOf: %d, %v; want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestDraftCarriesItsSerial(t *testing.T) {
	for _, version := range []byte{device.MQTT311, device.MQTT5} {
		d := newDraft(version, "p1/demo/c/cnv_1/send", payloadBytes, 7)
		for _, serial := range []int{0, 1, 999_999} {
			packet := d.packet(3, serial)
			payload := packet[len(packet)-payloadBytes:]
			if got, ok := serialOf(payload); !ok || got != serial {
				t.Errorf("version %d: serial %d became %d in %s", version, serial, got, payload)
			}
			if payload[0] != '{' || !bytes.HasSuffix(payload, []byte("}}")) {
				t.Errorf("version %d: the payload is not where it should be: %s", version, payload)
			}
		}
	}
}
