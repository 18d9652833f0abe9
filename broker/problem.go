package broker

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/problem"
)

// refuse answers no to a request of a tunnel, as REST does.
func refuse(w http.ResponseWriter, refusal *parley.Error) {
	var wait time.Duration
	if refusal.Code.Retry() {
		wait = max(refusal.RetryAfter, time.Second)
	}
	p := problem.Of(refusal, problem.Status(refusal.Code), wait)
	h := w.Header()
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	h.Set("Content-Type", problem.ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who did not get it asks again
}
