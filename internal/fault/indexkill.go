package fault

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

const (
	wordsEach    = 12 // messages of a round
	indexedLimit = 10 * time.Second
)

// indexKill ends the server with SIGKILL while what was just said, edited and
// deleted is on its way into the search index, and searches for all of it.
func indexKill(ctx context.Context, l *Lab) error {
	return l.within(ctx, server.Config{}, func(ctx context.Context, w *world) error {
		s, err := w.rest.Visitor(ctx, server.SiteKey, "searcher")
		if err != nil {
			return err
		}
		i := &indexed{world: w, session: s, conversation: parley.NewID(parley.PrefixConversation), words: map[string]bool{}}
		w.streams = append(w.streams, stream{i.conversation, s})
		for n := range w.Rounds {
			if err := i.round(ctx, n); err != nil {
				return fmt.Errorf("round %d: %w", n+1, err)
			}
		}
		return nil
	})
}

// indexed is a conversation, and what it is to be found by.
type indexed struct {
	*world
	session      *device.Session
	conversation string
	words        map[string]bool // of the last round: whether there is a message with it
}

func (i *indexed) round(ctx context.Context, n int) error {
	clear(i.words)
	for k := range wordsEach {
		if err := i.write(ctx, fmt.Sprintf("r%dw%d", n, k), k%4); err != nil {
			return err
		}
	}
	if err := sleep(ctx, i.below(time.Second)); err != nil {
		return err
	}
	i.server.Kill()
	if err := i.restart(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := await(ctx, 3*indexedLimit, func() string {
		for word, there := range i.words {
			hits, whole, err := i.rest.Search(ctx, i.session, url.Values{"q": {word}})
			if err != nil || !whole || hits > 1 || (hits == 1) != there {
				return fmt.Sprintf("%d messages are found by a word that is there %v, all searched %v: %v", hits, there, whole, err)
			}
		}
		return ""
	})
	if err != nil {
		i.result.problem("%v", err)
	}
	i.result.took("found after the start max", time.Since(began), indexedLimit)
	return ctx.Err()
}

// write sends a message with a word, and perhaps edits or deletes it.
func (i *indexed) write(ctx context.Context, word string, way int) error {
	say := func(kind parley.EntryType, body any) (int64, error) {
		raw, err := parley.EncodeBody(body)
		if err != nil {
			return 0, err
		}
		return i.say(ctx, &i.journal, i.session, i.conversation, parley.Draft{ID: parley.NewID(parley.PrefixMessage), Type: kind, Body: raw})
	}
	seq, err := say(parley.EntryText, parley.TextBody{Text: "the word is " + word})
	if err != nil {
		return err
	}
	i.words[word] = true
	switch way {
	case 1:
		_, err = say(parley.EntryEdit, parley.EditBody{Seq: seq, Text: "now it is " + word + "e"})
		i.words[word], i.words[word+"e"] = false, true
	case 2:
		_, err = say(parley.EntryDelete, parley.DeleteBody{Seq: seq})
		i.words[word] = false
	}
	return err
}
