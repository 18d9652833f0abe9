package broker

import (
	"testing"
	"time"

	"github.com/parley-chat/parley"
)

// What a client could not take in time, or could not take so much of, is not told
// later.
func TestSignalsThatWaitVanish(t *testing.T) {
	who := parley.Identity{Site: "s", User: "v", Device: "d", Role: parley.RoleVisitor}
	c := parley.Conversation{Site: "s", ID: "c1", Status: parley.StatusQueued, Visitor: "v", Head: 2, Control: 1}
	s := &session{broker: New(Options{}), who: who, device: who.DeviceKey(), version: 5}
	s.pump = newPump(s, 1, 0)
	s.pump.halt() // delivers nothing: this is about what it holds
	defer s.pump.stop()
	sg := s.pump.signals
	for name, test := range map[string]struct {
		filter string
		n      int
		late   bool
		want   int
	}{
		"in time":               {filter: parley.Any, n: 3, want: 3},
		"by its own topic":      {filter: c.ID, n: 3, want: 3},
		"too late":              {filter: parley.Any, n: 3, late: true},
		"too many":              {filter: parley.Any, n: mostHeard + 9, want: mostHeard},
		"of what is not wanted": {filter: "c2", n: 3},
	} {
		t.Run(name, func(t *testing.T) {
			sg.listen(test.filter)
			defer sg.unlisten(test.filter)
			for range test.n {
				sg.hear(c, "t", []byte("payload"))
			}
			for i := range sg.heard {
				if test.late {
					sg.heard[i].until = time.Now().Add(-time.Millisecond)
				}
			}
			packets, more, err := sg.fill(nil, 0)
			one := len(appendPublish(nil, 5, 0, false, "t", 0, []byte("payload")))
			if len(packets) != test.want*one || more || err != nil {
				t.Errorf("%d packets, more %t, %v", len(packets)/one, more, err)
			}
		})
	}
}
