package seal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/seal"
)

// TestTwoServers reads on one server what another has sealed with keys that it has just
// made.
func TestTwoServers(t *testing.T) {
	keys := newKeys(t, false)
	opened, err := openSealed(t.Context(), t.TempDir(), keys)
	must(t, err)
	one := opened.(sealed)
	defer closing(t, one)
	other, err := seal.Open(t.Context(), one.behind, seal.Options{Keys: keys})
	must(t, err)
	defer closing(t, other)
	check := func(id string) {
		t.Helper()
		mustAppend(t, one, stream, message(id, secret))
		row := parley.Conversation{Site: site, ID: id, LastText: secret, Head: 1}
		must(t, one.SaveConversations(t.Context(), []parley.Conversation{row}, 1))
		register := parley.Register{Key: "draft:" + id, Value: []byte(`"` + secret + `"`), Version: 1}
		must(t, one.SaveRegisters(t.Context(), []bridge.UserRegister{{Site: site, User: id, Register: register}}))
		entries, err := other.ReadBefore(t.Context(), stream, 1000, 1)
		must(t, err)
		got, err := other.Conversation(t.Context(), site, id)
		must(t, err)
		registers, err := other.Registers(t.Context(), site, id)
		must(t, err)
		if !strings.Contains(string(entries[0].Body), secret) || got.LastText != secret || string(registers[0].Value) != string(register.Value) {
			t.Errorf("%s: %s, %q, %s", id, entries[0].Body, got.LastText, registers[0].Value)
		}
	}
	check("msg_00001") // the site began to be sealed when the other one ran
	for _, id := range []string{"msg_00002", "msg_00003"} {
		keys, err = keys.With(seal.NewMasterKey(time.Now(), true))
		must(t, err)
		must(t, one.Use(keys))
		must(t, other.Use(keys))
		must(t, one.Rotate(t.Context()))
		check(id)
	}
	if n := other.Stats().Damaged; n != 0 {
		t.Errorf("%d are damaged", n)
	}
	mustAppend(t, other, "ste_b/c/cnv_1/messages", message("msg_00001", secret)) // both make the first key of a site
	mustAppend(t, one, "ste_b/c/cnv_1/messages", message("msg_00002", secret))
	for _, s := range []bridge.Store{one, other} {
		entries, err := s.Read(t.Context(), "ste_b/c/cnv_1/messages", 0, 10)
		must(t, err)
		for _, e := range entries {
			if !strings.Contains(string(e.Body), secret) {
				t.Errorf("read as %s", e.Body)
			}
		}
	}
}
