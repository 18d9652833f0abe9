package main

import (
	"strings"
	"testing"
)

func TestDemoStaysOnThisMachine(t *testing.T) {
	for _, test := range []struct {
		name    string
		args    []string
		refused string // what the error names, empty if it is fine
	}{
		{"as it comes", nil, ""},
		{"other ports", []string{"--http", "127.0.0.1:18080", "--mqtt", "localhost:11883", "--page", "[::1]:18088"}, ""},
		{"every address", []string{"--http", ":8080"}, `":8080"`},
		{"a public MQTT", []string{"--mqtt", "192.0.2.1:1883"}, "192.0.2.1:1883"},
		{"a public page", []string{"--page", "0.0.0.0:8088"}, "0.0.0.0:8088"},
		{"a name that may be anywhere", []string{"--page", "example.org:8088"}, "example.org:8088"},
		{"public metrics", []string{"--metrics", "0.0.0.0:9180"}, "0.0.0.0:9180"},
		{"no port", []string{"--page", "127.0.0.1"}, "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, page := demoDefaults()
			flags := newDemoFlags(&c, &page)
			if err := flags.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			_, err := demoOptions(c, page)
			switch {
			case test.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refused != "" && err == nil:
				t.Error("taken")
			case test.refused != "" && !strings.Contains(err.Error(), test.refused):
				t.Errorf("the error does not name %s: %v", test.refused, err)
			}
		})
	}
}

func TestDemoTakesTheOriginsOfTheUser(t *testing.T) {
	t.Setenv("PARLEY_DEMO_ORIGINS", "http://localhost:3000,http://localhost:3001")
	c, page := demoDefaults()
	if err := c.readEnvironment(); err != nil {
		t.Fatal(err)
	}
	o, err := demoOptions(c, page)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Origins) != 2 || o.Origins[1] != "http://localhost:3001" {
		t.Errorf("origins %q, want both", o.Origins)
	}
}

func TestDemoNamesEveryBadAddress(t *testing.T) {
	c, _ := demoDefaults()
	c.HTTP, c.MQTT = ":1", ":2"
	_, err := demoOptions(c, ":3")
	if err == nil {
		t.Fatal("taken")
	}
	for _, address := range []string{`":1"`, `":2"`, `":3"`} {
		if !strings.Contains(err.Error(), address) {
			t.Errorf("%s is missing in: %v", address, err)
		}
	}
}
