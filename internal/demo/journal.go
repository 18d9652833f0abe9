package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
)

const journalFile = "journal.jsonl"

// Why a report is not taken.
var (
	errSuperseded = errors.New("another load of the demo page has taken over")
	errIncomplete = errors.New("the report builds on one that is not here")
)

// journal is what the devices have told. What they sent, and what was
// acknowledged to them, is also in a file: the server has to stand by it after
// the demo itself was restarted.
type journal struct {
	news news // of each report
	now  func() time.Time

	mu      sync.Mutex
	file    *os.File
	broken  error // the first failed write
	run     string
	began   time.Time // of the run
	devices map[deviceName]*deviceState
	senders []checker.Record // Sent, Acked and Refused, as they came
	seen    map[seenKey]bool
}

// deviceState is a device as it last told.
type deviceState struct {
	user   string
	online bool
	told   time.Time
	views  []view // Keep is not used
}

type seenKey struct {
	event            checker.Event
	device           string
	conversation, id string
}

// openJournal reads the journal in folder, or begins one.
func openJournal(folder string, now func() time.Time) (*journal, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, journalFile), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	records, err := checker.ReadJournal(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", file.Name(), err), file.Close())
	}
	j := &journal{now: now, file: file, devices: map[deviceName]*deviceState{}, seen: map[seenKey]bool{}}
	for _, r := range records {
		j.note(r)
	}
	return j, nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.broken, j.file.Close())
}

// begin starts anew with what devices show: a page has been loaded.
func (j *journal) begin(run string) {
	j.mu.Lock()
	j.run, j.began = run, j.now()
	clear(j.devices)
	j.mu.Unlock()
	j.news.tell()
}

// take adds a report. It answers errSuperseded, errIncomplete, or what is wrong
// with the report; nothing of it is taken then.
func (j *journal) take(r report) error {
	if err := r.validate(); err != nil {
		return err
	}
	if err := j.add(r); err != nil {
		return err
	}
	j.news.tell()
	return nil
}

func (j *journal) add(r report) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Run != j.run {
		return errSuperseded
	}
	views, err := j.views(r)
	if err != nil {
		return err
	}
	j.devices[r.Device] = &deviceState{user: r.User, online: r.Online, told: j.now(), views: views}
	device := string(r.Device) + "/" + r.User
	j.write(device, r.User, checker.Sent, r.Sent)
	j.write(device, r.User, checker.Acked, r.Acked)
	j.write(device, r.User, checker.Refused, r.Refused)
	return nil
}

// views completes the views of a report with what was kept from the last one.
func (j *journal) views(r report) ([]view, error) {
	var before []view
	if d := j.devices[r.Device]; d != nil {
		before = d.views
	}
	views := make([]view, 0, len(r.Views))
	for _, v := range r.Views {
		var rows []row
		if i := slices.IndexFunc(before, func(b view) bool { return b.Conversation == v.Conversation }); i >= 0 {
			rows = before[i].Rows
		}
		if v.Keep < 0 || v.Keep > len(rows) {
			return nil, errIncomplete
		}
		// Clipped: a snapshot may be reading what lies behind.
		v.Rows = append(slices.Clip(rows[:v.Keep]), v.Rows...)
		views = append(views, v)
	}
	return views, nil
}

// write notes records that are new, also in the file.
func (j *journal) write(device, user string, event checker.Event, messages []settled) {
	for _, m := range messages {
		r := m.record(device, user, event)
		// A device also finds messages stored that it sent before there was a journal.
		if event != checker.Sent && !j.seen[seenKey{checker.Sent, device, r.Conversation, r.ID}] || !j.note(r) {
			continue
		}
		line, err := json.Marshal(r)
		if err == nil {
			_, err = j.file.Write(append(line, '\n'))
		}
		if err != nil && j.broken == nil {
			j.broken = fmt.Errorf("write journal: %w", err)
		}
	}
}

// note keeps a record in memory and reports whether it is new.
func (j *journal) note(r checker.Record) bool {
	key := seenKey{r.Event, r.Device, r.Conversation, r.ID}
	if j.seen[key] {
		return false
	}
	j.seen[key] = true
	j.senders = append(j.senders, r)
	return true
}

// snapshot is the journal at one moment. It shares memory with the journal,
// which only ever appends to it.
type snapshot struct {
	run     string
	began   time.Time
	devices map[deviceName]deviceState
	senders []checker.Record
}

func (j *journal) snapshot() snapshot {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := snapshot{run: j.run, began: j.began, devices: map[deviceName]deviceState{}, senders: slices.Clip(j.senders)}
	for name, d := range j.devices {
		s.devices[name] = *d
	}
	return s
}

// begun reports whether a device knows of anything stored in a conversation.
// Before, it may not exist, and there is nothing to hold against its log.
func (s *snapshot) begun(conversation string) bool {
	for _, d := range s.devices {
		for _, v := range d.views {
			if v.Conversation == conversation && len(v.Rows) > 0 {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.senders, func(r checker.Record) bool {
		return r.Conversation == conversation && r.Event == checker.Acked
	})
}

// conversations are those that are open on a device, in the order of devices.
func (s *snapshot) conversations() []string {
	var list []string
	for _, name := range deviceNames() {
		for _, v := range s.devices[name].views {
			if !slices.Contains(list, v.Conversation) {
				list = append(list, v.Conversation)
			}
		}
	}
	return list
}
