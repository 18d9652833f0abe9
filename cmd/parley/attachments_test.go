package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// call sends a request to a server and decodes the answer into it, unless that is nil.
func call(t *testing.T, n *node, method, path, token, kind, body string, status int, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.httpAddr.String()+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Upload-Offset", "0")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status {
		t.Fatalf("%s %s: %d %s, %v; want %d", method, path, r.StatusCode, data, err, status)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(data, answer); err != nil {
		t.Fatal(err)
	}
}

func TestNodeTakesAttachments(t *testing.T) {
	const asJSON = "application/json"
	c := testConfig(t)
	n := startNode(t, c)
	var session struct{ Token string }
	call(t, n, "POST", "/v1/visitor-sessions", "", asJSON, `{"siteKey":"`+demoSiteKey+`"}`, http.StatusCreated, &session)
	var a struct{ ID, FileURL string }
	call(t, n, "POST", "/v1/conversations/cnv_1/attachments", session.Token, asJSON, `{"name":"a.txt","size":5}`, http.StatusCreated, &a)
	path := "/v1/attachments/" + a.ID
	call(t, n, "PATCH", path, session.Token, "application/octet-stream", "hello", http.StatusNoContent, nil)
	call(t, n, "POST", path+"/complete", session.Token, asJSON, "", http.StatusOK, &a)
	message := fmt.Sprintf(`{"id":"msg_00001","type":"text","body":{"text":"","attachments":[{"id":"%s"}]}}`, a.ID)
	call(t, n, "POST", "/v1/conversations/cnv_1/messages", session.Token, asJSON, message, http.StatusCreated, nil)
	call(t, n, "GET", a.FileURL, "", asJSON, "", http.StatusOK, nil)
	if _, err := os.Stat(filepath.Join(c.Data, "attachments")); err != nil {
		t.Error(err)
	}

	if _, body := get(t, n.metricsAddr, "/metrics"); !strings.Contains(body, "parley_attachments_taken_total 1") {
		t.Errorf("metrics: %s", body)
	}

	off := testConfig(t)
	off.Attachments = "off"
	n = startNode(t, off)
	call(t, n, "POST", "/v1/visitor-sessions", "", asJSON, `{"siteKey":"`+demoSiteKey+`"}`, http.StatusCreated, &session)
	call(t, n, "POST", "/v1/conversations/cnv_1/attachments", session.Token, asJSON, `{"name":"a.txt","size":5}`, http.StatusNotFound, nil)
}

// eicar is what every virus scanner calls infected, in two pieces so that none finds it
// here.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// answerAsClamd takes one file of a connection, and finds eicar.
func answerAsClamd(conn net.Conn) {
	defer conn.Close()
	_, _ = io.ReadFull(conn, make([]byte, len("zINSTREAM\x00")))
	var file bytes.Buffer
	for length := uint32(1); length > 0; {
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		_, _ = io.CopyN(&file, conn, int64(length))
	}
	if bytes.Contains(file.Bytes(), []byte(eicar)) {
		_, _ = io.WriteString(conn, "stream: Eicar-Test-Signature FOUND\x00")
		return
	}
	_, _ = io.WriteString(conn, "stream: OK\x00")
}

// Nothing is taken that is infected, or that nobody has scanned.
func TestNodeScansAttachments(t *testing.T) {
	const asJSON = "application/json"
	socket := filepath.Join(t.TempDir(), "clamd.sock")
	c := testConfig(t)
	c.Clamd = "unix:" + socket
	n := startNode(t, c)
	var session struct{ Token string }
	call(t, n, "POST", "/v1/visitor-sessions", "", asJSON, `{"siteKey":"`+demoSiteKey+`"}`, http.StatusCreated, &session)
	begin := func(file string) (path string) {
		t.Helper()
		var a struct{ ID string }
		call(t, n, "POST", "/v1/conversations/cnv_1/attachments", session.Token, asJSON, fmt.Sprintf(`{"name":"a.txt","size":%d}`, len(file)), http.StatusCreated, &a)
		path = "/v1/attachments/" + a.ID
		call(t, n, "PATCH", path, session.Token, "application/octet-stream", file, http.StatusNoContent, nil)
		return path
	}
	clean, infected := begin("hello"), begin(eicar)
	for _, path := range []string{clean, infected} { // nobody is there to scan
		call(t, n, "POST", path+"/complete", session.Token, asJSON, "", http.StatusServiceUnavailable, nil)
		call(t, n, "GET", path+"/file", session.Token, asJSON, "", http.StatusNotFound, nil)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var scanner sync.WaitGroup
	scanner.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answerAsClamd(conn)
		}
	})
	defer scanner.Wait()
	defer l.Close()
	call(t, n, "POST", clean+"/complete", session.Token, asJSON, "", http.StatusOK, nil)
	call(t, n, "POST", infected+"/complete", session.Token, asJSON, "", http.StatusForbidden, nil)
	call(t, n, "POST", infected+"/complete", session.Token, asJSON, "", http.StatusNotFound, nil)
	call(t, n, "GET", clean+"/file", session.Token, asJSON, "", http.StatusOK, nil)
}

// A disk without room for files takes none, says so, takes messages, and goes on with the
// upload when there is room.
func TestNodeWithoutRoomForFiles(t *testing.T) {
	c := testConfig(t)
	c.AttachmentReserve = 1 << 60
	n := startNode(t, c)
	s := newFileSender(t, n)
	var a sentFile
	call(t, n, "POST", "/v1/conversations/cnv_1/attachments", s.token, "application/json", `{"name":"a.txt","size":5}`, http.StatusCreated, &a)
	path := "/v1/attachments/" + a.ID
	var problem struct{ Code, Detail string }
	call(t, n, "PATCH", path, s.token, "application/octet-stream", "hello", http.StatusServiceUnavailable, &problem)
	if problem.Code != "unavailable" || !strings.Contains(problem.Detail, "no room for files now") {
		t.Errorf("it says %+v", problem)
	}
	call(t, n, "POST", "/v1/conversations/cnv_1/messages", s.token, "application/json", `{"id":"msg_00001","type":"text","body":{"text":"still here"}}`, http.StatusCreated, nil)
	must(t, n.close(t.Context()))
	if left := blobsIn(t, c.Data); len(left) == 0 {
		t.Error("there is no store")
	}
	for name := range blobsIn(t, filepath.Join(c.Data, "attachments")) {
		t.Errorf("%s is left", name)
	}
	c.AttachmentReserve = 0
	s.n = startNode(t, c)
	call(t, s.n, "PATCH", path, s.token, "application/octet-stream", "hello", http.StatusNoContent, nil)
	a.data = []byte("hello")
	s.finish(&a)
	s.expect(s.n, &a)
}
