package demo

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestScreen(t *testing.T) {
	for file, language := range map[string]Language{"screen.en.txt": English, "screen.zh.txt": Chinese} {
		t.Run(file, func(t *testing.T) {
			var out bytes.Buffer
			s := screen{language: language, out: &out}
			s.greet(facts{
				page: "http://127.0.0.1:8088/", agent: "http://127.0.0.1:8080/agent/?site=demo", email: "agent@example.com", password: "secret",
				mqtt: "127.0.0.1:1883", terminal: "mosquitto_sub -h 127.0.0.1", log: "data/demo/server.log",
			})
			s.server(serverEvent{pid: 4711, how: "signal: killed"})
			s.server(serverEvent{back: true, pid: 4712, after: 87_400 * time.Microsecond})
			s.stopping()
			golden := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("screen (-want +got), -update accepts it:\n%s", diff)
			}
		})
	}
}

func TestLanguageOf(t *testing.T) {
	for _, test := range []struct {
		name        string
		environment map[string]string
		want        Language
	}{
		{"nothing set", nil, English},
		{"C", map[string]string{"LANG": "C.UTF-8"}, English},
		{"mainland", map[string]string{"LANG": "zh_CN.UTF-8"}, Chinese},
		{"Taiwan", map[string]string{"LC_MESSAGES": "zh_TW", "LANG": "en_US.UTF-8"}, Chinese},
		{"LC_ALL wins", map[string]string{"LC_ALL": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, English},
		{"empty is unset", map[string]string{"LC_ALL": "", "LANG": "zh_CN.UTF-8"}, Chinese},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := LanguageOf(func(name string) string { return test.environment[name] }); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
