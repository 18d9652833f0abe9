// Command kept makes a folder such as an old Parley has left: it starts that one's
// binary, has a visitor and an agent converse, kills it, and packs what is on the
// disk together with what the server had answered. See keep.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/internal/fault/database"
	"github.com/parley-chat/parley/internal/fault/server"
)

// kept is what the old server said.
type kept struct {
	Streams map[string][]json.RawMessage `json:"streams"` // by conversation, as the agent read them
	Mine    string                       `json:"mine"`    // the conversation that the agent has claimed
	Words   []string                     `json:"words"`   // each is in a message
	Gone    []string                     `json:"gone"`    // texts that were deleted
}

type session struct{ User, Device, Token string }

type writer struct {
	server *server.Server
	kept   kept
	ids    int
}

func main() {
	binary := flag.String("parley", "", "the old binary")
	ferret := flag.String("ferret", "", "the database's binary; without it, a folder of the embedded store is made")
	out := flag.String("o", "", "the archive")
	flag.Parse()
	if err := keep(context.Background(), *binary, *ferret, *out); err != nil {
		log.Fatal(err)
	}
}

func keep(ctx context.Context, binary, ferret, out string) error {
	scratch, err := os.MkdirTemp("", "kept")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	folder := filepath.Join(scratch, "data")
	config := server.Config{Binary: binary, Data: folder, Env: []string{server.DemoSite}}
	if ferret != "" {
		d, err := database.New(ctx, ferret, folder)
		if err != nil {
			return err
		}
		if err := d.Start(ctx); err != nil {
			return err
		}
		defer d.Kill()
		config.Data, config.Store = "", d.URI("kept")
		defer func() { d.Kill() }()
		return run(ctx, config, out, folder, d.Kill)
	}
	return run(ctx, config, out, folder, func() {})
}

func run(ctx context.Context, config server.Config, out, folder string, stop func()) error {
	s, err := server.New(config)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer s.Kill()
	w := &writer{server: s, kept: kept{Streams: map[string][]json.RawMessage{}}}
	if err := w.write(); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Stderr())
	}
	s.Kill()
	stop()
	return pack(out, folder, w.kept)
}

// write makes a little of everything. What the old server does not know yet it refuses.
func (w *writer) write() error {
	var visitor, agent session
	if err := w.call("", "POST", "/v1/visitor-sessions", map[string]any{"siteKey": server.SiteKey, "name": "韩梅梅"}, &visitor); err != nil {
		return err
	}
	if err := w.call("", "POST", "/v1/agent-sessions", map[string]any{"site": server.Site, "email": server.AgentEmail, "password": server.Password}, &agent); err != nil {
		return err
	}
	mine, closed, queued := "cnv_kept_mine", "cnv_kept_closed", "cnv_kept_queued"
	w.kept.Mine = mine
	for i, conversation := range []string{mine, closed, queued} {
		for n := range 12 {
			w.say(visitor, conversation, fmt.Sprintf("number %d of %d, 您好，我想退款 🙂", n, i))
		}
		if conversation != queued {
			if err := w.call(agent.Token, "POST", "/v1/conversations/"+conversation+"/claim", nil, nil); err != nil {
				return err
			}
		}
		if conversation == closed {
			if err := w.call(agent.Token, "POST", "/v1/conversations/"+conversation+"/close", nil, nil); err != nil {
				return err
			}
		}
	}
	w.publish(agent, "c/"+mine+"/notes/send", `{"id":"note_000001","type":"text","body":{"text":"a kind customer"}}`)
	w.publish(agent, "c/"+mine+"/marks", `{"delivered":9,"read":8}`)
	w.publish(agent, "u/"+agent.User+"/set", `{"id":"set_000001","key":"draft:`+mine+`","value":{"text":"half a sentence"},"basedOn":0}`)
	w.listen(agent) // these publishes are the last that end its session
	w.say(agent, mine, "The invoice SO-2026/0815 is on its way; 发票已经寄出")
	w.listen(agent)
	w.say(visitor, mine, "what nobody was to see again")
	w.amend(visitor, mine)
	w.kept.Words = []string{"退款", "invoice", "发票"}
	time.Sleep(11 * time.Second) // until what was deleted is in no file
	for _, conversation := range []string{mine, closed, queued} {
		var page struct{ Entries []json.RawMessage }
		if err := w.call(agent.Token, "GET", "/v1/conversations/"+conversation+"/messages?limit=200", nil, &page); err != nil {
			return err
		}
		w.kept.Streams[conversation] = page.Entries
	}
	return nil
}

// amend edits one message and deletes another, where that is known.
func (w *writer) amend(visitor session, conversation string) {
	draft := func(kind string, body map[string]any) error {
		w.ids++
		return w.call(visitor.Token, "POST", "/v1/conversations/"+conversation+"/messages",
			map[string]any{"id": fmt.Sprintf("amend_%06d", w.ids), "type": kind, "body": body}, nil)
	}
	if draft("edit", map[string]any{"seq": 3, "text": "said better: 请退款"}) != nil {
		return
	}
	var page struct {
		Entries []struct {
			Seq  int64
			Body struct{ Text string }
		}
	}
	if w.call(visitor.Token, "GET", "/v1/conversations/"+conversation+"/messages?limit=200", nil, &page) != nil {
		return
	}
	for _, e := range page.Entries {
		if strings.HasPrefix(e.Body.Text, "what nobody") && draft("delete", map[string]any{"seq": e.Seq}) == nil {
			w.kept.Gone = append(w.kept.Gone, e.Body.Text)
		}
	}
}

func (w *writer) say(who session, conversation, text string) {
	w.ids++
	err := w.call(who.Token, "POST", "/v1/conversations/"+conversation+"/messages",
		map[string]any{"id": fmt.Sprintf("kept_%06d", w.ids), "type": "text", "body": map[string]any{"text": text}}, nil)
	if err != nil {
		log.Fatal(err)
	}
}

// listen is a device that is there for a moment, and leaves a session with cursors.
func (w *writer) listen(who session) {
	w.mosquitto("mosquitto_sub", who, "-c", "-x", "864000", "-t", "p1/demo/c/+/messages", "-W", "2")
}

func (w *writer) publish(who session, topic, payload string) {
	w.mosquitto("mosquitto_pub", who, "-t", "p1/demo/"+topic, "-m", payload)
}

func (w *writer) mosquitto(command string, who session, args ...string) {
	host, port, _ := strings.Cut(w.server.MQTT(), ":")
	args = append([]string{"-h", host, "-p", port, "-V", "5", "-q", "1", "-i", who.User + "." + who.Device, "-u", "x", "-P", who.Token}, args...)
	_ = exec.Command(command, args...).Run() // an old server may refuse it; -W ends with an error
}

func (w *writer) call(token, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, w.server.URL()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if r.Header.Set("Content-Type", "application/json"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, answer.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}

// pack writes what is in folder, without what ends with a process, and what was said.
// Files are mostly zeros: packed once, those still repeat themselves.
func pack(out, folder string, said kept) error {
	var archive bytes.Buffer
	t := tar.NewWriter(&archive)
	add := func(name string, data []byte) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	data, err := json.MarshalIndent(said, "", " ")
	if err != nil {
		return err
	}
	if err := add("said.json", data); err != nil {
		return err
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, ".lock") {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(folder), path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(name), data)
	})
	if err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, squeeze(squeeze(archive.Bytes())), 0o600)
}

func squeeze(data []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one
	_, _ = z.Write(data)                                  // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}
