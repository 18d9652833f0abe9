package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
	"github.com/parley-chat/parley/bridge/mirror"
	"github.com/parley-chat/parley/bridge/sqlite"
)

// command runs parley and returns what it says.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...)
	if err != nil {
		t.Fatalf("parley %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// newKey makes a key, and returns its file and its recipient.
func newBackupKey(t *testing.T) (file, recipient string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "parley.key")
	lines := strings.Split(strings.TrimSpace(succeeds(t, "backup", "--new-key", file)), "\n")
	return file, lines[len(lines)-1]
}

// TestBackupOfAServer backs a server up that goes on, tries the backup out, restores it,
// and starts another server there.
func TestBackupOfAServer(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	token, id, draft := visit(t, n), parley.NewID(parley.PrefixConversation), parley.NewText("msg_00001", "你好")
	if status := postMessage(t, n, token, id, draft); status != http.StatusCreated {
		t.Fatalf("the message is answered with %d", status)
	}
	key, recipient := newBackupKey(t)
	file, to := filepath.Join(t.TempDir(), "b.age"), filepath.Join(t.TempDir(), "new")
	if out := succeeds(t, "backup", "--data", c.Data, "-r", recipient, file); !strings.Contains(out, "whose server goes on") || !strings.Contains(out, "encrypted to one recipient") {
		t.Errorf("it says\n%s", out)
	}
	if status := postMessage(t, n, token, id, parley.NewText("msg_00002", "later")); status != http.StatusCreated {
		t.Errorf("the server does not go on: %d", status)
	}
	if out := succeeds(t, "restore", "-i", key, "--check", file); !strings.Contains(out, "is whole") {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "drill", "-i", key, "--data", c.Data, file); !strings.Contains(out, "1 newer entry that the backup does not") || !strings.Contains(out, "2 entries were read from it by REST") {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "restore", "-i", key, "--to", "sqlite:"+to, file); !strings.Contains(out, "PARLEY_STORE=sqlite:"+to) {
		t.Errorf("it says\n%s", out)
	}
	if out := succeeds(t, "restore", "-i", key, "--to", "sqlite:"+to, file); !strings.Contains(out, "already restored in sqlite:"+to) {
		t.Errorf("once more, it says\n%s", out)
	}
	c.Data = to
	again := startNode(t, c)
	if again.bridge.Epoch() == n.bridge.Epoch() {
		t.Error("it has the epoch of before: devices will not fetch anew")
	}
	if status := postMessage(t, again, token, id, draft); status != http.StatusOK { // with the token of before
		t.Errorf("the repeat is answered with %d", status)
	}
	must(t, n.close(t.Context()))
	if _, err := os.Stat(filepath.Join(n.config.Data, backupSocket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server that has stopped leaves its socket: %v", err)
	}
}

// TestBackupTombstones keeps what was deleted apart, and restores a backup of before.
func TestBackupTombstones(t *testing.T) {
	c := testConfig(t)
	n := startNode(t, c)
	token, id := visit(t, n), parley.NewID(parley.PrefixConversation)
	send := func(d parley.Draft) {
		t.Helper()
		if status := postMessage(t, n, token, id, d); status != http.StatusCreated {
			t.Fatalf("%s is answered with %d", d.ID, status)
		}
	}
	send(parley.NewText("msg_00001", canary))
	file, tombs := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "tombstones.jsonl")
	succeeds(t, "backup", "--data", c.Data, "--plain", file)
	for i, want := range []string{": 0 tombstones more", ": 1 tombstone more, 1 message in all", ": 0 tombstones more, 1 message in all"} {
		if i == 1 {
			send(parley.Draft{ID: "delete_01", Type: parley.EntryDelete, Body: []byte(`{"seq":2}`)})
			f, err := os.OpenFile(tombs, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(`{"kind":"mess`) // as a power cut leaves it
			must(t, errors.Join(err, f.Close()))
		}
		if out := succeeds(t, "backup", "--data", c.Data, "--tombstones", tombs); !strings.Contains(out, want) {
			t.Errorf("run %d: want %q in\n%s", i, want, out)
		}
	}
	to := filepath.Join(t.TempDir(), "new")
	if out := succeeds(t, "restore", "--tombstones", tombs, "--to", "sqlite:"+to, file); !strings.Contains(out, "1 entry has been left empty") {
		t.Errorf("it says\n%s", out)
	}
	entries, err := openStore(t, to).Read(t.Context(), parley.MessagesOf(demoSite, id), 1, 1)
	if err != nil || len(entries) != 1 || !entries[0].Redacted {
		t.Errorf("what was deleted came back: %+v, %v", entries, err)
	}
}

// TestBackupRefuses reads what is said about files and stores that will not do.
func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	store := at("store")
	must(t, openStore(t, store).Close())
	key, recipient := newBackupKey(t)
	other, _ := newBackupKey(t)
	succeeds(t, "backup", "--data", store, "--plain", at("plain"))
	succeeds(t, "backup", "--data", store, "-r", recipient, at("sealed"))
	plain, err := os.ReadFile(at("plain"))
	must(t, err)
	sealed, err := os.ReadFile(at("sealed"))
	must(t, err)
	flip := func(data []byte) []byte {
		flipped := bytes.Clone(data)
		flipped[len(flipped)/2] ^= 1
		return flipped
	}
	for name, data := range map[string][]byte{
		"cut": plain[:len(plain)-9], "sealed-cut": sealed[:len(sealed)-9], "flipped": flip(plain), "sealed-flipped": flip(sealed),
		"foreign": []byte("PK\x03\x04 not a backup"), "empty": nil,
	} {
		must(t, os.WriteFile(at(name), data, 0o600))
	}
	to := "sqlite:" + at("new")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no key":            {[]string{"restore", "--to", to, at("sealed")}, "no key was given: give it with -i"},
		"another key":       {[]string{"restore", "-i", other, "--to", to, at("sealed")}, "does not open it: it is another recipient's"},
		"cut off":           {[]string{"restore", "--to", to, at("cut")}, "is cut off: its end is missing. Use another one"},
		"sealed, cut off":   {[]string{"restore", "-i", key, "--to", to, at("sealed-cut")}, "Use another"},
		"flipped":           {[]string{"restore", "--to", to, at("flipped")}, "is damaged"},
		"sealed, flipped":   {[]string{"restore", "-i", key, "--to", to, at("sealed-flipped")}, "is damaged"},
		"foreign":           {[]string{"restore", "--to", to, at("foreign")}, "not a backup of Parley; parley backup makes one"},
		"empty":             {[]string{"restore", "--to", to, at("empty")}, "not a backup of Parley"},
		"no file":           {[]string{"restore", "--to", to, at("missing")}, "no such file"},
		"not empty":         {[]string{"restore", "--to", "sqlite:" + store, at("plain")}, "there is a store already; name a folder that does not exist"},
		"drill of another":  {[]string{"drill", "--data", store + "2", at("plain")}, "there is no store in"},
		"not encrypted":     {[]string{"backup", "--data", store, at("b")}, "-r age1…"},
		"a bad recipient":   {[]string{"backup", "--data", store, "-r", "bob", at("b")}, `"bob" is not a recipient like age1…`},
		"there is a file":   {[]string{"backup", "--data", store, "--plain", at("plain")}, "there is a file " + at("plain") + " already"},
		"no store":          {[]string{"backup", "--data", at("nothing"), "--plain", at("b")}, "there is no store in"},
		"no folder":         {[]string{"backup", "--data", store, "--plain", at("no/b")}, "make the file of the backup"},
		"a key is there":    {[]string{"backup", "--new-key", key}, "exists, and may be the key that opens backups: name another file"},
		"no tombstones":     {[]string{"restore", "--tombstones", at("missing"), "--to", to, at("plain")}, "--tombstones"},
		"other tombstones":  {[]string{"restore", "--tombstones", at("foreign"), "--to", to, at("plain")}, "not a file of tombstones"},
		"nothing is named":  {[]string{"backup", "--data", store, "--plain"}, "name the file"},
		"two ways to store": {[]string{"restore", "--to", to, "--to-file", at("f"), at("plain")}, "give one of them"},
	} {
		out, err := command(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error()+out, "AGE-SECRET") {
			t.Errorf("%s: %v, want %q\n%s", name, err, c.want, out)
		}
	}
	for _, name := range []string{"new", "b", "b.partial"} {
		if _, err := os.Lstat(at(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was begun: %v", name, err)
		}
	}
}

// TestBackupPassphrase encrypts with one, to the standard output.
func TestBackupPassphrase(t *testing.T) {
	dir := t.TempDir()
	must(t, openStore(t, filepath.Join(dir, "store")).Close())
	word := filepath.Join(dir, "word")
	must(t, os.WriteFile(word, []byte("open sesame\n"), 0o600))
	t.Setenv("PARLEY_BACKUP_PASSPHRASE_FILE", word)
	cmd := newRoot()
	var out, said bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	cmd.SetArgs([]string{"backup", "--data", filepath.Join(dir, "store"), "-"})
	must(t, cmd.ExecuteContext(t.Context()))
	file := filepath.Join(dir, "b.age")
	must(t, os.WriteFile(file, out.Bytes(), 0o600))
	succeeds(t, "restore", "--check", file)
	must(t, os.WriteFile(word, []byte("open barley\n"), 0o600))
	if _, err := command(t, "restore", "--check", file); err == nil || !strings.Contains(err.Error(), "another passphrase") {
		t.Errorf("another passphrase: %v", err)
	}
}

// filled makes a store with that many messages.
func filled(t *testing.T, messages int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "filled")
	s := openStore(t, dir)
	for n := 0; n < messages; {
		entries := make([]parley.Entry, 250)
		for i := range entries {
			entries[i] = parley.Entry{
				ID: fmt.Sprintf("msg_%07d", n), Sender: "vis_ann", Device: "dev_1", Role: parley.RoleVisitor, Type: parley.EntryText,
				Body: fmt.Appendf(nil, `{"text":"%x"}`, [3]int{n * 7919, n * 104729, n}), Digest: fmt.Appendf(nil, "%032d", n),
			}
			n++
		}
		_, err := s.Append(t.Context(), parley.MessagesOf("ste_a", fmt.Sprintf("cnv_%d", n/1000)), entries, parley.ExpectAny)
		must(t, err)
	}
	b, err := bridge.New(t.Context(), s, bridge.Options{}) // makes what a server makes at its start
	must(t, err)
	must(t, errors.Join(b.Close(), s.Close()))
	return dir
}

// renumbered is a store that says it has another epoch.
type renumbered struct {
	*sqlite.Store
	epoch string
}

func (r renumbered) Epoch() string { return r.epoch }

// sameStores compares a restored store with its source.
func sameStores(t *testing.T, from, to string) {
	t.Helper()
	a, b := openStore(t, from), openStore(t, to)
	if _, err := mirror.Compare(t.Context(), renumbered{a, b.Epoch()}, b, mirror.Options{}); err != nil {
		t.Error(err)
	}
	must(t, errors.Join(a.Close(), b.Close()))
}
