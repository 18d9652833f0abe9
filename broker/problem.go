package broker

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/parley-chat/parley"
)

// problem is how a request of a tunnel is refused: as REST does.
type problem struct {
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail"`
	Code       parley.Code `json:"code"`
	Retry      bool        `json:"retry"`
	RetryAfter int64       `json:"retryAfter,omitempty"` // seconds
}

// refuse answers no.
func refuse(w http.ResponseWriter, refusal *parley.Error) {
	status := statusOf(refusal.Code)
	p := problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: refusal.Message, Code: refusal.Code, Retry: refusal.Code.Retry(),
	}
	h := w.Header()
	if p.Retry {
		p.RetryAfter = parley.Seconds(max(refusal.RetryAfter, time.Second))
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p) // who did not get it asks again
}

func statusOf(code parley.Code) int {
	switch code {
	case parley.CodeInvalid:
		return http.StatusBadRequest
	case parley.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case parley.CodeForbidden:
		return http.StatusForbidden
	case parley.CodeNotFound:
		return http.StatusNotFound
	case parley.CodeConflict:
		return http.StatusConflict
	case parley.CodeRateLimited:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}
