package demo

import (
	"github.com/parley-chat/parley/internal/fault/checker"
)

// agree finds out whether everybody shows the visitor's conversation, and the
// same.
func (j *judgement) agree() {
	s := &j.score
	if len(j.devices[deviceVisitor].views) > 0 { // otherwise nobody knows whose they are
		s.Earlier = j.messages(func(conversation string) bool { return !j.ofVisitor(conversation) })
	}
	s.Messages = j.messages(j.ofVisitor)
	for _, v := range j.devices[deviceVisitor].views {
		if stream := j.stream(v.Conversation); stream == nil || countMessages(*stream) == 0 {
			continue
		}
		for _, name := range deviceNames() {
			switch open, complete := j.shows(name, v.Conversation); {
			case !open:
				s.Waiting = append(s.Waiting, name)
			case !complete:
				s.Loading = append(s.Loading, name)
			}
		}
	}
	s.Agreed = s.Messages > 0 && len(s.Waiting)+len(s.Loading) == 0 && s.InFlight == 0 && s.Lost+s.Doubled+s.Reordered+s.Wrong == 0
}

// messages counts those of the conversations that are wanted.
func (j *judgement) messages(wanted func(conversation string) bool) (n int) {
	for _, s := range j.log {
		if wanted(s.Conversation) {
			n += countMessages(s)
		}
	}
	return n
}

func countMessages(s checker.Stream) (n int) {
	for _, e := range s.Entries {
		if e.Type.Message() {
			n++
		}
	}
	return n
}

// ofVisitor reports whether a conversation is the one that the visitor has open.
func (j *judgement) ofVisitor(conversation string) bool {
	open, _ := j.shows(deviceVisitor, conversation)
	return open
}

// shows reports whether a device has a conversation open, and whether from its
// beginning.
func (j *judgement) shows(name deviceName, conversation string) (open, complete bool) {
	for _, v := range j.devices[name].views {
		if v.Conversation == conversation {
			return true, v.Complete
		}
	}
	return false, false
}
