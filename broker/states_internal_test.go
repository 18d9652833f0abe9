package broker

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley"
)

// The answer to a SUBSCRIBE can be ahead of what the log's follower tells next: a mark
// is in it as soon as it is acknowledged. What the client was told never goes back.
func TestStatesNeverGoBack(t *testing.T) {
	who := parley.Identity{Site: "s", User: "v", Device: "d", Role: parley.RoleVisitor}
	s := &session{broker: New(Options{}), who: who, device: who.DeviceKey(), version: 5}
	s.broker.log = numbering{}
	s.pump = newPump(s, 1, 0)
	s.pump.halt() // delivers nothing by itself
	defer s.pump.stop()
	before := parley.Conversation{
		Site: "s", ID: "c1", Status: parley.StatusOpen, Visitor: "v", Head: 9, Control: 1, Count: 8,
		Marks: parley.Marks{{User: "v", Delivered: 4, Read: 4, Count: 3}}, AgentRead: 2,
	}
	marked := before.Marked("v", parley.MarkedBody{Read: 7, Count: 6, Responsible: true}, 0)
	written := marked
	written.Head, written.Count = 10, 9

	st := s.pump.states
	st.listen()
	s.pump.watchOne("c1", 0)
	st.answer([]parley.Conversation{marked})
	expectState(t, st, marked)
	st.changed(before)
	expectState(t, st, marked)
	st.changed(written)
	expectState(t, st, written)
}

// numbering is a log that is asked for nothing else.
type numbering struct{ Log }

func (numbering) Epoch() string { return "epo_1" }

// expectState fails unless want is delivered now.
func expectState(t *testing.T, st *states, want parley.Conversation) {
	t.Helper()
	packet, _, err := st.fill(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, _ := bytes.Cut(packet, []byte("{"))
	var got parley.State
	if err := json.Unmarshal(append([]byte("{"), payload...), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.State("epo_1", st.pump.session.who), got); diff != "" {
		t.Errorf("the state that is delivered (-want +got):\n%s", diff)
	}
}
