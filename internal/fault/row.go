package fault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
	"github.com/parley-chat/parley/internal/fault/database"
	"github.com/parley-chat/parley/internal/fault/netns"
)

// Row is one kind of fault: what is done, and what counts as a pass.
type Row struct {
	Name  string // on the command line
	Fault string // in a few words
	Of    string // which faults of the list it covers
	Pass  string // the numbers
	Short int    // rounds in the tests; 0: it is for whole runs only
	Long  int    // rounds of a whole run

	run func(context.Context, *Lab) error
}

// Rows returns all rows.
func Rows() []*Row {
	return []*Row{
		{"publish-cut", "connection reset right behind PUBLISH", "1", "1,000 cuts, outbox empty ≤ 5 s after", 25, 1000, publishCut},
		{"app-kill", "app killed (-9) with messages in its outbox file", "1", "outbox empty ≤ 5 s after restart", 4, 40, appKill},
		{"crash-points", "server killed at each named step between PUBLISH and cursor saved", "2, 3", "every point, passes 1, 2 and 17; caught up ≤ 2 s after ready", 1, 3, crashPoints},
		{"kill-loop", "server killed (-9) under load", "4", "≥ 200 kills, ≥ 100,000 acknowledged, ready ≤ 5 s", 8, 200, killLoop},
		{"kill-million", "kill-loop on a store that was given a million messages just before", "4", "ready ≤ 30 s", 1, 40, killMillion},
		{"cut-loop", "network cut under load: reset, half packets, frozen", "1, 10", "0 of everything", 10, 200, cutLoop},
		{"sigterm", "SIGTERM with 500 messages in flight", "4", "exit ≤ 10 s", 3, 20, sigterm},
		{"power-cut", "power cut: unsynced writes lost, last one torn", "5", "200 cuts", 5, 200, powerCut},
		{"store-kill", "the store in a database of its own: it, the server or both killed (-9) under load, started in any order", "4", "100 rounds; ready ≤ 5 s after both are up", 4, 100, onDatabase(storeKill)},
		{"kill-loop-mongo", "kill-loop on that database", "4", "ready ≤ 5 s", 0, 40, onDatabase(killLoop)},
		{"crash-points-mongo", "crash-points on that database", "2, 3", "every point it has, passes 1, 2 and 17; caught up ≤ 20 s after ready, on a database that reads everything to find anything", 1, 3, onDatabase(crashPoints)},
		{"store-errors", "one write in ten to that database goes wrong: no primary, cut off before, in or after, refused in part", "6", "0 of everything", 2, 40, onDatabase(storeErrors)},
		{"store-down", "that database refuses, resets or has no primary, for 1 s and 60 s, from the third round 10 min", "6", "0 acknowledged meanwhile, not ready; 1,000 messages drained ≤ 10 s after, RSS ≤ +200 MB", 1, 2, onDatabase(storeDown)},
		{"store-slow", "2 s for every operation of that database, then no answer at all", "7", "answered ≤ 6 s, at 2 s some acknowledged, PINGRESP p99 ≤ 1 s, 0 acknowledged without a write", 1, 4, onDatabase(storeSlow)},
		{"damage", "files of the store damaged: tail cut off, one bit flipped", "5", "repaired, refused or true; never wrong", 6, 200, damage},
		{"restore", "backups under load, with kills and changed master keys, restored into an empty folder; cut, flipped, without their keys; one schema back", "39", "all that was acknowledged before; damaged or without keys refused, nothing begun; no text in any file of a sealed store; rotation without a pause; restored ≤ 3 min", 3, 60, restore},
		{"disk-full", "disk full, in half of the rounds with a kill and a start on it", "8", "reads work, nothing acknowledged, not ready, resumes ≤ 5 s after there is room, starts whole", 2, 20, diskFull},
		{"bad-fsync", "every fsync fails; what it was about vanishes with the next power cut", "8", "nothing acknowledged meanwhile, resumes ≤ 5 s", 2, 20, badFsync},
		{"no-files", "256 files and sockets, 400 strangers who take them", "8", "who is in: p99 ≤ 1 s; a newcomer is in ≤ 5 s after they have gone; CPU ≤ 50 %", 1, 10, noFiles},
		{"cable-pull", "cable pulled for 5, 20, 31 and 60 s", "9", "caught up p99 ≤ 2 s, max ≤ 3 s after it is back", 1, 20, cablePull},
		{"half-open", "client gone without a word; its device connects again", "9", "CONNACK ≤ 1 s, dead session freed ≤ 90 s", 1, 5, halfOpen},
		{"bad-network", "flapping, 30 % loss, one-way loss, 32 kbit/s, 800 ms round trip, address change", "10", "complete ≤ 10 s after the last, ≤ 1 attempt/s", 1, 4, badNetwork},
		{"same-id", "the same message id 64 times at once, resent with DUP, with another body, all again later", "11", "10,000 races: one seq for each id, the same when all is sent again after kill -9 and SIGTERM", 40, 10_000, sameID},
		{"packet-ids", "packet identifiers of unacknowledged deliveries used for PUBLISH and SUBSCRIBE, with cuts", "12", "≥ 100,000 messages, ≥ 500 cuts, every SUBACK granted", 10, 500, packetIDs},
		{"merge-marks", "two devices mark at once, out of order, one offline, then merge; kill -9", "13", "500 rounds: no mark goes back, all equal ≤ 2 s after quiet, unread as recounted in 100 %", 6, 500, mergeMarks},
		{"random-steps", "marks and registers in any order on three devices, clocks wrong by a day; a round is 1,000 steps", "13", "≥ 100,000 steps: devices equal the model and the store", 0, 100, randomSteps},
		{"converge", "random scripts on three devices of one agent: a page in Chromium, paho, mosquitto; some away", "13", "200 scripts: equal field by field ≤ 1 s after the last change", 4, 200, converge},
		{"long-absence", "a month away, with thousands of messages: longer than a session, than a day, than any queue", "14", "20,000 entries, gap-free, in order, ≤ 20 s for each device", 2, 20, longAbsence},
		{"stuck-readers", "200 readers: nothing read, 1 byte/s, tiny window", "15", "publish p99 within 20 %, cut ≤ 30 s, complete later", 6, 200, stuckReaders},
		{"stampede", "server killed (-9), all devices come back at once", "16", "10,000 back ≤ 30 s, RSS ≤ 1.5 GB", 300, 10_000, stampede},
		{"stampede-tls", "the same over TLS, a whole handshake for each", "16", "10,000 back ≤ 60 s, RSS ≤ 1.5 GB", 100, 10_000, stampedeTLS},
		{"wrong-clock", "the server's clock put ahead and back by an hour, running or between two runs; leap days and ends of summer time; clients in 1970 and 2099", "17", "no session or token ends early, none lasts a minute too long, nobody misses anything", 4, 40, wrongClock},
		{"token-expiry", "tokens of 2 s end in mid-session, are renewed among publishes, and end while offline", "18", "closed ≤ 1 s after the end, no renewed connection ends", 4, 100, tokenExpiry},
		{"revocation", "signed out, or the conversation claimed by another, while messages flood in; the same for a device that is away", "19", "100 runs each on TCP, WebSocket and REST: no byte 1 s after the call, none on resume", 4, 200, revocation},
		{"takeover", "client identifiers of others, their variants, takeovers in a loop", "20", "all refused, victim undisturbed, ≤ 1 takeover/s of the own device", 20, 1000, takeover},
		{"wills", "last wills: foreign topics, $SYS, wildcards, retained, 1 MB", "21", "all refused, none delivered", 14, 1000, wills},
		{"retained", "retained publishes on every topic, empty ones too", "22", "none stored or delivered, memory level within 5 MB", 200, 100_000, retained},
		{"topics", "malicious topics and filters, and fuzzed ones against a naive reference", "23", "10^6 pairs agree, all listed refused", 20_000, 1_000_000, topics},
		{"malformed", "malformed, oversized and pre-login packets", "24", "process alive, RSS ≤ +64 MB, closed ≤ 10 s, connect p99 ≤ 1 s", 300, 20_000, malformed},
		{"fuzz", "strangers' bytes, from packets to tokens, in every fuzz test; a round is a minute of each", "24", "≥ 10 min for each decoder, 0 crashes", 0, 10, fuzz},
		{"uploads", "files that run, lie, burst or tell too much, sent one after the other; fetched with links, changed links and by strangers", "28", "none served to be shown that runs, none out of the folder, RSS ≤ +256 MB, links ≤ 5 min", 40, 1000, uploads},
		{"costly-search", "50 search at once for what is expensive: wildcards, nested quantifiers, 10,000 characters, emoji, Chinese", "31", "delivery p99 ≤ 500 ms, each ≤ 1 s or cut off, two of a user at a time", 1, 20, costlySearch},
		{"index-kill", "server killed (-9) before the search index has what was said, edited and deleted", "4, 31", "found by its text of now, and by no other, ≤ 10 s after the start", 3, 100, indexKill},
		{"long-hours", "churn, cuts, stuck readers and restarts for hours; a round is 10 s", "4, 15", "memory, goroutines and file descriptors level within 5 %", 1, 720, longHours},
		{"mosquitto-sub", "mosquitto_sub -c -q 1 away while the server is killed (-9)", "", "everything missed, in order", 2, 20, mosquittoSub},
	}
}

// Lab is what rows run in. A copy belongs to one row.
type Lab struct {
	Binary      string // of parley: serves, and plays devices
	FaultBinary string // the same, built with the tag "fault"; see server.Build
	Database    string // of the database that is killed; see database.Build
	Client      string // the built TypeScript client, web-widget/client/dist/index.js
	Kept        string // a data folder of the schema before, see KeptFile
	Folder      string // for the data of servers; each row makes its own below it
	Rounds      int    // 0: as many as the row says
	Soak        bool   // the long form: a whole run, not a test
	Seed        uint64 // 0: a random one
	Only        string // of a row's parts only the one with this name, e.g. "journal-torn:2"
	Log         *slog.Logger

	random *rand.Rand
	result *Result
	store  *database.Database // of rows whose servers have theirs there
	email  string             // of the agent everybody has to do with; of the first one, if empty
	mood   string             // that it is in, from when a server is ready on
	worlds int                // how many have been made in it
	host   *netns.Host        // of rows that have networks
}

// Run makes the row. An error means that the run could not be made or did not
// come to an end; what the server did wrong is in the result. No process and no
// goroutine is left behind.
func (r *Row) Run(ctx context.Context, l Lab) (result *Result, err error) {
	if l.Seed == 0 {
		l.Seed = rand.Uint64()
	}
	if l.Rounds == 0 {
		l.Rounds = r.Short
		if l.Soak {
			l.Rounds = r.Long
		}
	}
	if l.Rounds == 0 {
		return nil, fmt.Errorf("%s has no short form", r.Name)
	}
	l.random = rand.New(rand.NewPCG(l.Seed, 0))
	l.result = &Result{Row: r, Rounds: l.Rounds, Seed: l.Seed, Report: &checker.Report{}}
	folder, err := os.MkdirTemp(l.Folder, r.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	l.Folder = folder
	began := time.Now()
	if err := r.run(ctx, &l); err != nil {
		return nil, fmt.Errorf("%s, seed %#x: %w", r.Name, l.Seed, err)
	}
	l.result.Took = time.Since(began)
	return l.result, nil
}

// below returns a random duration below limit.
func (l *Lab) below(limit time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(int64(limit)))
}
