package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestWhereTheStoreIs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store")
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(file+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file + name
	}
	for name, c := range map[string]struct {
		config config
		want   string // as it is shown; what it is refused with behind a !
	}{
		"nothing":                   {config{}, "sqlite:./data"},
		"a folder":                  {config{Data: "/srv/parley"}, "sqlite:/srv/parley"},
		"the embedded store":        {config{Store: "sqlite:./here"}, "sqlite:./here"},
		"both, the same":            {config{Store: "sqlite:./here", Data: "here/"}, "sqlite:./here"},
		"both, different":           {config{Store: "sqlite:./here", Data: "./there"}, "!folder ./there, PARLEY_STORE says sqlite:./here"},
		"no folder":                 {config{Store: "sqlite:"}, "!sqlite:./data"},
		"an address for a folder":   {config{Store: "sqlite:///srv/parley"}, "!sqlite:/var/lib/parley"},
		"a server":                  {config{Store: "mongodb://db"}, "mongodb://db"},
		"a database":                {config{Store: "mongodb://db:27017/chat?tls=true"}, "mongodb://db:27017/chat"},
		"servers":                   {config{Store: "mongodb://u:secret@a:1,b:2,[::1]:3/chat?replicaSet=rs"}, "mongodb://a:1,b:2,[::1]:3/chat"},
		"a name of servers":         {config{Store: "mongodb+srv://u:secret@db.example.org"}, "mongodb+srv://db.example.org"},
		"a server and a folder":     {config{Store: "mongodb://u:secret@db/chat", Data: "./data"}, "!folder ./data, PARLEY_STORE says mongodb://db/chat"},
		"no host":                   {config{Store: "mongodb://u:secret@/chat"}, "!not an address like mongodb://"},
		"nothing behind the scheme": {config{Store: "mongodb://"}, "!not an address like mongodb://"},
		"no slashes":                {config{Store: "mongodb:db"}, "!not an address like mongodb://"},
		"a slash in the password":   {config{Store: "mongodb://u:sec/ret@db"}, "!%2F"},
		"a query in the password":   {config{Store: "mongodb://u:sec?ret@db"}, "!%3F"},
		"an @ in the password":      {config{Store: "mongodb://u:sec@ret@db"}, "!%40"},
		"another kind":              {config{Store: "postgres://u:secret@db"}, "!mongodb+srv://"},
		"no kind":                   {config{Store: "./secret"}, "!sqlite:FOLDER"},
		"in a file":                 {config{StoreFile: write("1", "mongodb://u:secret@db/chat\n")}, "mongodb://db/chat"},
		"in a file, another kind":   {config{StoreFile: write("2", "redis://secret")}, "!PARLEY_STORE_FILE: a store is"},
		"in an empty file":          {config{StoreFile: write("3", "\n")}, "!is empty"},
		"in a file and here":        {config{StoreFile: file + "1", Store: "sqlite:./here"}, "!give one of them"},
		"in a file and a folder":    {config{StoreFile: file + "1", Data: "./data"}, "!PARLEY_STORE_FILE says mongodb://db/chat"},
		"in a file that is missing": {config{StoreFile: file + "9"}, "!no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := c.config.location()
			want, refused := strings.CutPrefix(c.want, "!")
			if refused != (err != nil) || !refused && l.String() != want || refused && !strings.Contains(err.Error(), want) {
				t.Fatalf("%s, %v; want %s", l, err, c.want)
			}
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "store", l, "error", err)
			fmt.Fprint(&log, l, &l, err)
			fmt.Fprintf(&log, "%v %+v %s", l, l, l)
			for _, secret := range []string{"secret", "sec/", "sec?", "sec@", "ret@"} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("it tells the password: %s", log.String())
				}
			}
		})
	}
}

// Flags win over the environment, whatever that says.
func TestFlagsNameTheStore(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, "!give one of them"},
		{[]string{"--store", "sqlite:./a"}, "sqlite:./a"},
		{[]string{"--data", "./b"}, "sqlite:./b"},
		{[]string{"--data", "./b", "--store", "sqlite:b"}, "sqlite:b"},
		{[]string{"--data", "./b", "--store", "sqlite:c"}, "!--data says that the store is in the folder ./b, --store says sqlite:c"},
		{[]string{"--store", "c"}, "!--store: a store is"},
	} {
		read := config{Store: "mongodb://db", StoreFile: "file", Data: "./data"}
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		read.bindFlags(flags)
		if err := flags.Parse(c.flags); err != nil {
			t.Fatal(err)
		}
		l, err := read.location()
		want, refused := strings.CutPrefix(c.want, "!")
		if refused != (err != nil) || !refused && l.String() != want || refused && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s, %v; want %s", c.flags, l, err, c.want)
		}
	}
}

// TestUsageTellsNoPassword asks for the usage where the environment has one.
func TestUsageTellsNoPassword(t *testing.T) {
	t.Setenv("PARLEY_STORE", "mongodb://u:secret@db")
	for _, name := range []string{"serve", "demo"} {
		cmd := newRoot()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs([]string{name, "--help"})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "--store") || strings.Contains(out.String(), "secret") {
			t.Errorf("usage of %s:\n%s", name, out.String())
		}
	}
}

func TestTheDemoHasAFolder(t *testing.T) {
	c, page := demoDefaults()
	c.Store = "mongodb://u:secret@db"
	if _, err := demoOptions(c, page); err == nil || !strings.Contains(err.Error(), "folder") || strings.Contains(err.Error(), "secret") {
		t.Errorf("on a server: %v", err)
	}
	c.Store = "sqlite:./here"
	if o, err := demoOptions(c, page); err != nil || o.Data != "./here" {
		t.Errorf("in a folder: %s, %v", o.Data, err)
	}
}
