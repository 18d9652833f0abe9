package device

import (
	"context"
	"errors"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Paho takes a packet for which there is no connection any more only after its
// write timeout.
func TestHandDoesNotWaitForAConnectionThatHasEnded(t *testing.T) {
	ended, end := onceClosed()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	end()
	tests := []struct {
		name  string
		ctx   context.Context
		ended <-chan struct{}
		want  error
	}{
		{"the connection has ended", t.Context(), ended, errEnded},
		{"the run has ended", canceled, nil, context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var handing sync.WaitGroup
			timeout := make(chan struct{})
			token, err := hand(test.ctx, &handing, test.ended, func() mqtt.Token {
				<-timeout
				return &mqtt.DummyToken{}
			})
			if token != nil || !errors.Is(err, test.want) {
				t.Errorf("handed over as %v, %v, want %v", token, err, test.want)
			}
			close(timeout)
			handing.Wait()
		})
	}
}

func TestHand(t *testing.T) {
	var handing sync.WaitGroup
	want := &mqtt.DummyToken{}
	token, err := hand(t.Context(), &handing, nil, func() mqtt.Token { return want })
	if token != want || err != nil {
		t.Errorf("handed over as %v, %v", token, err)
	}
}
