package seal_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bridge/seal"
)

func TestParseKeys(t *testing.T) {
	a, b := seal.NewMasterKey(time.Now(), false), seal.NewMasterKey(time.Now(), true)
	for name, c := range map[string]struct {
		text string
		want string // ids; what it is refused with behind a !
	}{
		"one":                 {a.Line(), a.ID()},
		"two":                 {a.Line() + "\n" + b.Line() + "\n", a.ID() + ", " + b.ID()},
		"with commas":         {b.Line() + "," + a.Line(), b.ID() + ", " + a.ID()},
		"with comments":       {"# newest first, by day\n\n  " + a.Line() + " # since today\n", a.ID()},
		"none":                {" \n# nothing\n", "!no master key"},
		"one id twice":        {a.Line() + "\n" + a.Line(), "!two master keys have the id " + a.ID()},
		"no id":               {strings.Fields(a.Line())[1], "!write an id"},
		"an id with a slash":  {"a/b " + strings.Fields(a.Line())[1], "!an id is"},
		"not base64":          {"k1 secret!", "!the key k1 is not 32 bytes"},
		"too short":           {"k1 c2VjcmV0", "!the key k1 is not 32 bytes"},
		"something behind it": {a.Line() + " secret", "!" + "write an id"},
	} {
		keys, err := seal.ParseKeys(c.text)
		want, refused := strings.CutPrefix(c.want, "!")
		if refused != (err != nil) || !refused && keys.String() != want || refused && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %s", name, keys, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}

// TestKeysAreNotPrinted prints keys in every way there is.
func TestKeysAreNotPrinted(t *testing.T) {
	m := seal.NewMasterKey(time.Now(), false)
	keys, err := seal.NewKeys(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", m, keys, &m)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", m, "keys", keys)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", m, "keys", keys)
	secret := strings.Fields(m.Line())[1]
	if strings.Contains(out.String(), secret[:8]) || !strings.Contains(out.String(), m.ID()) {
		t.Errorf("printed:\n%s", out.String())
	}
}
