package broker

import (
	"log/slog"
	"testing"

	"github.com/parley-chat/parley"
)

// A save that has failed does not replace the newer one that a connection has
// handed in at its end.
func TestNewestSaveIsKept(t *testing.T) {
	save := func(generation, seq int64, epoch string) parley.CursorSave {
		return parley.CursorSave{Device: "d", Generation: generation, Cursor: parley.Cursor{Stream: "s/c/c1/messages", Epoch: epoch, Seq: seq}}
	}
	for name, test := range map[string]struct{ first, second, kept parley.CursorSave }{
		"newer":              {save(1, 4, "e"), save(1, 5, "e"), save(1, 5, "e")},
		"older":              {save(1, 5, "e"), save(1, 4, "e"), save(1, 5, "e")},
		"newer connection":   {save(1, 5, "e"), save(2, 4, "e"), save(2, 4, "e")},
		"older connection":   {save(2, 4, "e"), save(1, 5, "e"), save(2, 4, "e")},
		"another numbering":  {save(1, 5, "e"), save(1, 4, "f"), save(1, 4, "f")},
		"seen, without more": {parley.CursorSave{Device: "d", Seen: 9}, parley.CursorSave{Device: "d", Seen: 8}, parley.CursorSave{Device: "d", Seen: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			cs := newCursorSaver(nil, slog.New(slog.DiscardHandler))
			cs.keep([]parley.CursorSave{test.first})
			cs.keep([]parley.CursorSave{test.second})
			if got := cs.failed[cursorKey{"d", test.kept.Cursor.Stream}]; got != test.kept {
				t.Errorf("kept %+v, want %+v", got, test.kept)
			}
		})
	}
}
