package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// damaged tries to restore what is not a whole backup, and without what it takes. Nothing
// is begun.
func (s *safe) damaged(ctx context.Context, file string) error {
	whole, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read a backup: %w", err)
	}
	flipped := bytes.Clone(whole)
	flipped[s.random.IntN(len(flipped))] ^= 1 << s.random.IntN(8)
	broken, no := filepath.Join(s.dir, "broken"), filepath.Join(s.dir, "no")
	to := []string{"restore", "--to", "sqlite:" + no}
	for _, data := range [][]byte{whole[:s.random.IntN(len(whole))], flipped} {
		if err := os.WriteFile(broken, data, 0o600); err != nil {
			return fmt.Errorf("break a backup: %w", err)
		}
		if err := s.refuses(ctx, s.keys, "", append(to, "-i", s.identity, broken)...); err != nil {
			return err
		}
	}
	if err := s.refuses(ctx, s.keys, "does not open it", append(to, "-i", s.others[0], file)...); err != nil {
		return err
	}
	for _, keys := range []string{"", s.others[1]} {
		if s.keys == "" {
			break
		}
		if err := s.refuses(ctx, keys, "needs the master key", append(to, "-i", s.identity, file)...); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(no); !errors.Is(err, fs.ErrNotExist) {
		s.result.problem("a restore that was refused has begun something: %v", err)
	}
	return nil
}

// restored makes a new store of a backup, starts a server on it, and compares what it
// serves.
func (s *safe) restored(ctx context.Context, file string, truth []checker.Stream, before []said) error {
	data := filepath.Join(s.elsewhere, "restored")
	defer func() { _ = os.RemoveAll(data) }() // with the rest, at the latest
	if !s.makeStore(ctx, data, file) {
		return ctx.Err()
	}
	again, err := server.New(server.Config{Binary: s.Binary, Data: data, Env: []string{server.DemoSite, "PARLEY_KEY_FILE=" + s.keys}})
	if err != nil {
		return err
	}
	defer again.Kill()
	if err := again.Start(ctx); err != nil {
		s.result.problem("a server on what was restored: %v", err)
		return ctx.Err()
	}
	found, events, err := s.readAgain(ctx, again)
	if err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	s.compare(truth, found)
	s.owed(found, events, before)
	return s.canaries()
}

// makeStore restores a backup. In one round of two that is killed on the way, and done
// once more. It tells whether there is a store.
func (s *safe) makeStore(ctx context.Context, data, file string) bool {
	args := []string{"restore", "-i", s.identity, "--tombstones", filepath.Join(s.dir, tombstoneFile), "--to", "sqlite:" + data, file}
	done := false
	if s.random.IntN(2) == 0 {
		attempt, cancel := context.WithTimeout(ctx, s.below(brokenWithin)) // ends it with SIGKILL
		done = s.command(attempt, s.keys, args...).Run() == nil
		cancel()
		if !done {
			s.result.count("restores killed and run again", 1)
		}
	}
	began := time.Now()
	if !done {
		out, err := s.command(ctx, s.keys, args...).CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("there is a store already")) { // it was killed behind its end
			s.result.problem("parley restore: %v: %s", err, out)
			return false
		}
		s.result.count("deleted since the backup, and not restored", leftEmpty(out))
	}
	s.result.took("restore max", time.Since(began), 3*time.Minute)
	return true
}

// readAgain reads the conversations and the users' events that a server has on a store
// that was restored.
func (s *safe) readAgain(ctx context.Context, again *server.Server) (found, events []checker.Stream, err error) {
	rest := device.NewREST(again.URL())
	defer rest.Close()
	for _, owned := range s.streams {
		entries, err := rest.Entries(ctx, owned.owner, owned.conversation)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, checker.Stream{Conversation: owned.conversation, Entries: entries})
	}
	for _, owner := range s.auditors {
		_, head, err := rest.Registers(ctx, owner)
		if err != nil {
			return nil, nil, err
		}
		entries, err := device.Events(ctx, device.Endpoint{REST: rest, MQTT: again.MQTT()}, owner, head)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, checker.Stream{Conversation: owner.User, Entries: entries})
	}
	return found, events, nil
}

var wasLeftEmpty = regexp.MustCompile(`(\d+) entr(?:y has|ies have) been left empty`)

// leftEmpty is how many entries a restore tells to have left empty.
func leftEmpty(out []byte) int {
	match := wasLeftEmpty.FindSubmatch(out)
	if match == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(match[1])) // digits
	return n
}

// compare expects of each conversation a beginning of what the server has that was backed
// up, without what was deleted there when the tombstones were collected.
func (s *safe) compare(truth, found []checker.Stream) {
	for i, restored := range found {
		entries := truth[i].Entries
		if len(restored.Entries) > len(entries) {
			s.result.problem("%s: %d entries were restored of %d", restored.Conversation, len(restored.Entries), len(entries))
			continue
		}
		for n, e := range restored.Entries {
			if was := entries[n]; !sameEntry(e, was) {
				s.result.problem("%s: entry %d was restored as another one, or with what was deleted", restored.Conversation, was.Seq)
			}
		}
		s.result.count("entries restored", len(restored.Entries))
	}
}

// sameEntry compares what was restored with what there was a moment before the tombstones
// were collected: more may have been deleted, not less.
func sameEntry(e, was parley.Entry) bool {
	if e.Redacted {
		was.Redacted, was.Body = true, e.Body
	}
	return reflect.DeepEqual(e, was)
}

// owed expects everything that was acknowledged before the backup was begun: messages,
// edits, deletes, and registers, which are in the events. Of those who write messages and
// nothing else, the checker says so.
func (s *safe) owed(found, events []checker.Stream, before []said) {
	if before == nil {
		return
	}
	stored := map[string]map[string]bool{}
	for _, stream := range slices.Concat(found, events) {
		ids := map[string]bool{}
		for _, e := range stream.Entries {
			ids[e.Sender+" "+e.ID] = true
		}
		stored[stream.Conversation] = ids
	}
	var journals [][]checker.Record
	for _, b := range before {
		s.owes(stored, b)
		if b.textsOnly {
			journals = append(journals, b.journal())
		}
	}
	found = slices.DeleteFunc(found, func(stream checker.Stream) bool { return stream.Conversation == s.household.conversation })
	if report := checker.CheckAll(journals, found); !report.OK() {
		s.result.add(report, 0)
	}
}

// owes expects what one device was told to be stored. Marks are merged, and those that
// change nothing are not.
func (s *safe) owes(stored map[string]map[string]bool, b said) {
	refused := map[string]bool{}
	for _, r := range b.now() {
		if r.Event == checker.Told || r.Event == checker.Refused {
			refused[r.ID] = true
		}
	}
	n := 0
	for _, r := range b.records {
		ids, known := stored[r.Conversation]
		if r.Event != checker.Acked || r.Type == parley.EntryMarked || refused[r.ID] || !known {
			continue
		}
		n++
		if !ids[r.User+" "+r.ID] {
			s.result.problem("%s: %s of %s was acknowledged before the backup, and is not restored", r.Conversation, r.ID, r.User)
		}
	}
	s.result.count("acknowledged before", n)
}

// whatIsSaid is in what everybody in a world writes.
var whatIsSaid = []string{"order on its way", "我们都在", "都在呢", "nothing to see"}

// canaries looks for what was said in every file, where that is sealed: backups, the store
// in use, and the one that was restored. What an old server had is not sealed.
func (s *safe) canaries() error {
	if s.keys == "" {
		return nil
	}
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server uses it
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, text := range whatIsSaid {
			if bytes.Contains(data, []byte(text)) {
				s.result.problem("%q is in %s", text, path)
			}
		}
		s.result.count("files searched for texts", 1)
		return err
	})
}
