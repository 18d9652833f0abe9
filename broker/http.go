package broker

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/parley-chat/parley"
)

// Handler serves MQTT over HTTP: a WebSocket at /mqtt, and tunnels, for where
// there can be no WebSocket, at /mqtt/http and below. RemoteAddr of a request is
// believed. Its http.Server should have ConnContext.
func (b *Broker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mqtt/http", b.openTunnel)
	mux.HandleFunc("GET /mqtt/http/{tunnel}/down", b.tunnelDown)
	mux.HandleFunc("POST /mqtt/http/{tunnel}/up", b.tunnelUp)
	mux.HandleFunc("/", b.upgrade)
	return mux
}

// openTunnel answers the id of a new tunnel. Who knows it has the connection, so
// it is in no log, and ends with the connection.
func (b *Broker) openTunnel(w http.ResponseWriter, r *http.Request) {
	if !b.admit(w, r) {
		return
	}
	t, c := b.newTunnel(r.RemoteAddr, foreignOrigin(r))
	full, closed := b.tunnels.add(t)
	switch {
	case closed:
		refuse(w, parley.Errorf(parley.CodeUnavailable, "the server is stopping"))
	case full:
		refuse(w, parley.Limited(b.options.ConnectTimeout, "too many tunnels")) // those that say nothing have ended by then
	default:
		time.AfterFunc(b.options.ConnectTimeout, t.forsake)
		b.serve(c)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"tunnel":"`+t.id+`"}`) // who did not get it asks again
	}
}

// admit answers what every request of a tunnel begins with, and refuses pages that
// may not speak to us.
func (b *Broker) admit(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Cache-Control", "no-store, no-transform")
	h.Add("Vary", "Origin")
	if !b.mayUpgrade(r) {
		refuse(w, parley.Errorf(parley.CodeForbidden, "this origin is not allowed"))
		return false
	}
	if origin := foreignOrigin(r); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
	}
	return true
}

// tunnelOf returns the tunnel that a request names, or answers.
func (b *Broker) tunnelOf(w http.ResponseWriter, r *http.Request) (*tunnel, bool) {
	if !b.admit(w, r) {
		return nil, false
	}
	t, ok := b.tunnels.find(r.PathValue("tunnel"), foreignOrigin(r))
	if !ok {
		refuse(w, parley.Errorf(parley.CodeNotFound, "there is no such tunnel, or not any more"))
	}
	return t, ok
}

func (b *Broker) tunnelDown(w http.ResponseWriter, r *http.Request) {
	t, ok := b.tunnelOf(w, r)
	if !ok {
		return
	}
	if err := t.follow(); err != nil {
		refuse(w, parley.Errorf(parley.CodeConflict, "%s", err))
		return
	}
	if err := t.down(r.Context(), newEvents(w, b.options.WriteTimeout), b.options.TunnelBeat); err != nil {
		b.options.Logger.Debug("tunnel cut", "error", err, "remote", r.RemoteAddr)
	}
}

func (b *Broker) tunnelUp(w http.ResponseWriter, r *http.Request) {
	t, ok := b.tunnelOf(w, r)
	if !ok {
		return
	}
	defer t.posts.Add(-1)
	if t.posts.Add(1) > postsMost {
		refuse(w, parley.Errorf(parley.CodeRateLimited, "one POST at a time"))
		return
	}
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || n < 1 {
		refuse(w, parley.Errorf(parley.CodeInvalid, "n counts the chunks: 1, 2, 3 …"))
		return
	}
	chunk, err := io.ReadAll(http.MaxBytesReader(w, r.Body, chunkMost)) // all of it first: half a chunk is none
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, parley.Errorf(parley.CodeTooLarge, "a chunk has 64 KiB at most"))
		return
	case err == nil && len(chunk) == 0:
		refuse(w, parley.Errorf(parley.CodeInvalid, "the chunk is empty; one has 1 to 65,536 bytes"))
		return
	case err != nil:
		refuse(w, parley.Errorf(parley.CodeInvalid, "the chunk did not come whole"))
		return
	}
	err = t.up(r.Context(), n, chunk)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errOutOfTurn):
		refuse(w, parley.Errorf(parley.CodeConflict, "%s", err))
	case r.Context().Err() != nil:
		refuse(w, parley.Errorf(parley.CodeUnavailable, "the chunk before is still on its way"))
	default:
		refuse(w, parley.Errorf(parley.CodeNotFound, "the tunnel has ended"))
	}
}
