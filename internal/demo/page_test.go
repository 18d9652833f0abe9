package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/parley-chat/parley/internal/demo"
)

// page plays the demo page.
type page struct {
	t    *testing.T
	url  string // without a slash at the end
	http *http.Client
}

func start(t *testing.T, o demo.Options) (*demo.Demo, *page) {
	t.Helper()
	d, err := demo.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	p := &page{t: t, url: strings.TrimSuffix(d.PageURL(), "/"), http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.http.CloseIdleConnections)
	return d, p
}

func (p *page) get(url string) (int, http.Header, []byte) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

func (p *page) do(req *http.Request) (int, http.Header, []byte) {
	p.t.Helper()
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body.Bytes()
}

// post does what a script of the page does, and wants success.
func (p *page) post(path string, body any) []byte {
	p.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", p.url)
	status, _, answer := p.do(req)
	if status/100 != 2 {
		p.t.Fatalf("POST %s: status %d: %s", path, status, answer)
	}
	return answer
}

// origin is where the page of a device is.
func (p *page) origin(device string) string {
	p.t.Helper()
	_, _, body := p.get(p.url + "/demo/config.json")
	var config struct {
		Devices []struct{ Name, Origin string }
	}
	if err := json.Unmarshal(body, &config); err != nil {
		p.t.Fatal(err)
	}
	for _, d := range config.Devices {
		if d.Name == device {
			return d.Origin
		}
	}
	p.t.Fatalf("no device %q in %s", device, body)
	return ""
}

type picture struct {
	Server struct {
		Up        bool
		PID       int
		Starts    int
		BackAfter int64
	}
	Cables map[string]bool
	Score  demo.Score
}

// await reads the events until one is as wanted.
func (p *page) await(what string, wanted func(picture) bool) picture {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/demo/events", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	last := ""
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		last = data
		var now picture
		if err := json.Unmarshal([]byte(data), &now); err != nil {
			p.t.Fatal(err)
		}
		if wanted(now) {
			return now
		}
	}
	p.t.Fatalf("no event where %s; the last one: %s", what, last)
	return picture{}
}
