package device_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// Whoever leaves in the middle of a flood has acknowledged nothing that it does not
// show: mosquitto_sub acknowledges first, and takes its time to print.
func TestDesksLoseNothingWhenTheyLeave(t *testing.T) {
	s, rest := serve(t)
	for _, kind := range []device.Kind{device.Paho, device.Mosquitto5, device.Mosquitto311} {
		t.Run(string(kind), func(t *testing.T) {
			desk := newDesk(t, kind, device.Endpoint{REST: rest, MQTT: s.MQTT()})
			if err := desk.Return(t.Context()); err != nil { // what comes from now on is delivered
				t.Fatal(err)
			}
			visitor, err := rest.Visitor(t.Context(), server.SiteKey, "")
			if err != nil {
				t.Fatal(err)
			}
			conversation := parley.NewID(parley.PrefixConversation)
			say := func(ctx context.Context) error {
				text := parley.NewText(parley.NewID(parley.PrefixMessage), strings.Repeat("再说一遍 ", 1000))
				_, err := rest.Say(ctx, visitor, conversation, text)
				return err
			}
			if err := say(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := rest.Claim(t.Context(), desk.Session(), conversation); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				ctx, stop := context.WithCancel(t.Context())
				flood := make(chan struct{})
				go func() {
					defer close(flood)
					for say(ctx) == nil {
					}
				}()
				awaitMore(t, desk, conversation, 10)
				err := desk.Leave(t.Context())
				stop()
				<-flood
				if err != nil {
					t.Fatal(err)
				}
				if err := desk.Return(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			awaitTruth(t, rest, desk, conversation)
			for _, trouble := range desk.Troubles() {
				t.Error(trouble)
			}
		})
	}
}

func serve(t *testing.T) (*server.Server, *device.REST) {
	binary, err := server.Build(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Binary: binary, Data: t.TempDir(), Env: []string{server.DemoSite}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rest := device.NewREST(s.URL())
	t.Cleanup(rest.Close)
	return s, rest
}

func newDesk(t *testing.T, kind device.Kind, e device.Endpoint) (desk device.Desk) {
	sessions := make([]*device.Session, 2)
	var err error
	for i := range sessions {
		if sessions[i], err = e.REST.Agent(t.Context(), server.Site, server.AgentEmail, server.Password); err != nil {
			t.Fatal(err)
		}
	}
	if kind == device.Paho {
		desk, err = device.NewPahoDesk(t.Context(), e, sessions[0])
	} else {
		desk, err = device.NewMosquittoDesk(t.Context(), kind, e, sessions[0], sessions[1])
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desk.Close)
	return desk
}

// awaitMore waits until the desk shows so many more messages.
func awaitMore(t *testing.T, desk device.Desk, conversation string, n int) {
	t.Helper()
	before := len(shown(t, desk, conversation).Texts)
	await(t, func() string {
		if more := len(shown(t, desk, conversation).Texts) - before; more < n {
			return fmt.Sprintf("%d more messages are shown, want %d", more, n)
		}
		return ""
	})
}

// awaitTruth waits until the desk shows what the server has.
func awaitTruth(t *testing.T, rest *device.REST, desk device.Desk, conversation string) {
	t.Helper()
	truth, _, err := rest.Truth(t.Context(), desk.Session(), []string{conversation})
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() string { return cmp.Diff(truth.Conversations[conversation], shown(t, desk, conversation)) })
}

func shown(t *testing.T, desk device.Desk, conversation string) device.Talk {
	t.Helper()
	v, err := desk.View(t.Context(), []string{conversation})
	if err != nil {
		t.Fatal(err)
	}
	return v.Conversations[conversation]
}

func await(t *testing.T, missing func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		what := missing()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
