package parley_test

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley"
)

func TestParseTopic(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want parley.Topic
	}{
		"send":       {"p1/s/c/cnv_1/send", parley.Topic{Kind: parley.TopicSend, Site: "s", Conversation: "cnv_1"}},
		"messages":   {"p1/s/c/cnv_1/messages", parley.Topic{Kind: parley.TopicMessages, Site: "s", Conversation: "cnv_1"}},
		"notes":      {"p1/s/c/x/notes", parley.Topic{Kind: parley.TopicNotes, Site: "s", Conversation: "x"}},
		"notes send": {"p1/s/c/x/notes/send", parley.Topic{Kind: parley.TopicNotesSend, Site: "s", Conversation: "x"}},
		"events":     {"p1/s/u/vis_1/events", parley.Topic{Kind: parley.TopicEvents, Site: "s", User: "vis_1"}},
		"errors":     {"p1/s/d/vis_1.dev_1/errors", parley.Topic{Kind: parley.TopicErrors, Site: "s", User: "vis_1", Device: "dev_1"}},
		"auth":       {"p1/s/d/a.b/auth", parley.Topic{Kind: parley.TopicAuth, Site: "s", User: "a", Device: "b"}},
		"presence":   {"p1/s/presence/agt_1", parley.Topic{Kind: parley.TopicPresence, Site: "s", User: "agt_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parley.ParseTopic(tc.in)
			if err != nil || got != tc.want {
				t.Fatalf("ParseTopic(%q) = %+v, %v; want %+v", tc.in, got, err, tc.want)
			}
			if got.String() != tc.in {
				t.Errorf("String() = %q, want %q", got.String(), tc.in)
			}
		})
	}
}

func TestParseTopicRefuses(t *testing.T) {
	for _, in := range []string{
		"", "p1", "p1/", "p2/s/c/x/send", "p1/s/c/x/", "p1/s/c/x", "p1/s/c//send", "p1//c/x/send", "/p1/s/c/x/send",
		"p1/s/c/x/send/", "p1/s/c/x/send/more", "p1/s/c/+/messages", "p1/s/c/#", "p1/+/c/x/send", "#", "+/#",
		"$SYS/broker", "$share/g/p1/s/c/x/messages", "p1/s/c/../send", "p1/s/c/a.b/send", "p1/s/d/nodot/errors",
		"p1/s/d/a.b.c/errors", "p1/s/d/.b/errors", "p1/s/c/x\x00/send", "p1/s/c/\u202ex/send", "p1/s/c/é/send",
		"p1/s/c/\xff/send", "P1/s/c/x/send", "p1/s/C/x/send", "p1/s/c/x/Send", "p1/s/c/x y/send",
		"p1/s/c/" + strings.Repeat("x", 65) + "/send", "p1/" + strings.Repeat("x/", 10_000), strings.Repeat("p", 65_535),
	} {
		if got, err := parley.ParseTopic(in); err == nil {
			t.Errorf("ParseTopic(%.40q) = %+v, want a refusal", in, got)
		}
	}
}

func TestParseFilter(t *testing.T) {
	for _, in := range []string{
		"p1/s/c/+/messages", "p1/s/c/+/notes", "p1/s/c/+/state", "p1/s/c/+/signals", "p1/s/presence/+", "p1/s/visits/+",
		"p1/s/c/x/messages", "p1/s/u/a/events", "p1/s/d/a.b/errors",
	} {
		got, err := parley.ParseFilter(in)
		if err != nil || got.String() != in {
			t.Errorf("ParseFilter(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"#", "+", "p1/#", "p1/s/#", "p1/+/c/+/messages", "p1/s/+/x/messages", "p1/s/c/+/+", "p1/s/c/+/send", "p1/s/c/+/marks",
		"p1/s/u/+/events", "p1/s/u/+/set", "p1/s/d/+/errors", "p1/s/d/+.+/errors", "$share/g/p1/s/c/+/messages",
		"$SHARE/g/p1/s/c/+/messages", "$SYS/#", "p1/s/c/x+/messages", "p1/s/c/+x/messages",
	} {
		if got, err := parley.ParseFilter(in); err == nil {
			t.Errorf("ParseFilter(%q) = %+v, want a refusal", in, got)
		}
	}
}

func TestStreamAndTopicAreOneName(t *testing.T) {
	for _, s := range []parley.Stream{
		parley.MessagesOf("s", "c"), parley.NotesOf("s", "c"), parley.EventsOf("s", "u"), parley.ErrorsOf("s", "u", "d"),
	} {
		topic, err := parley.ParseTopic(s.Topic())
		if err != nil {
			t.Fatalf("topic of %s: %v", s, err)
		}
		if back, ok := topic.Stream(); !ok || back != s {
			t.Errorf("stream of topic of %s = %s, %v", s, back, ok)
		}
		if s.Kind() != topic.Kind {
			t.Errorf("kind of %s = %s", s, s.Kind())
		}
		if s.Site() != "s" {
			t.Errorf("site of %s = %s", s, s.Site())
		}
	}
	if _, _, ok := parley.NotesOf("s", "c").Conversation(); ok {
		t.Error("notes are not a conversation's messages")
	}
	if _, _, ok := parley.MessagesOf("s", "c").NotedConversation(); ok {
		t.Error("messages are not notes")
	}
	if site, id, ok := parley.NotesOf("s", "c").NotedConversation(); !ok || site != "s" || id != "c" {
		t.Errorf("conversation of notes = %s %s %v", site, id, ok)
	}
	if kind := parley.Stream("s/c/c/state").Kind(); kind != "" {
		t.Errorf("a state is a stream of kind %s", kind)
	}
	if site, id, ok := parley.MessagesOf("s", "c").Conversation(); !ok || site != "s" || id != "c" {
		t.Errorf("conversation of messages = %s %s %v", site, id, ok)
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"p1/s/c/+/messages", "p1/s/c/x/notes/send", "p1/s/d/a.b/errors", "p1/s/presence/+", "$share/x/y", "p1//c/x/send"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		topic, err := parley.ParseFilter(s)
		if err != nil {
			if parley.ErrorOf(err).Code != parley.CodeInvalid {
				t.Fatalf("refusal of %q has code %s", s, parley.ErrorOf(err).Code)
			}
			return
		}
		if topic.String() != s {
			t.Fatalf("%q parses as %q", s, topic)
		}
		for _, id := range []string{topic.Site, topic.Conversation, topic.User, topic.Device} {
			if id != "" && id != parley.Any && !parley.ValidID(id) {
				t.Fatalf("%q holds the invalid id %q", s, id)
			}
		}
		if _, err := parley.ParseTopic(s); (err == nil) == topic.Wildcard() {
			t.Fatalf("ParseTopic(%q) and Wildcard() = %v disagree: %v", s, topic.Wildcard(), err)
		}
	})
}

func TestStreamTellsWhatItIsAbout(t *testing.T) {
	for stream, want := range map[parley.Stream][3]string{
		parley.MessagesOf("ste_a", "cnv_a"):        {"ste_a", "cnv_a", "messages"},
		parley.NotesOf("ste_a", "cnv_a"):           {"ste_a", "cnv_a", "notes"},
		parley.EventsOf("ste_a", "vis_a"):          {},
		parley.ErrorsOf("ste_a", "vis_a", "dev_a"): {},
		"ste_a/c/cnv_a/state":                      {},
		"ste_a/c":                                  {},
		"":                                         {},
	} {
		site, conversation, kind := stream.About()
		if got := [3]string{site, conversation, string(kind)}; got != want {
			t.Errorf("%q is about %q, want %q", stream, got, want)
		}
	}
}
