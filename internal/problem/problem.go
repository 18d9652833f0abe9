// Package problem is how refusals look over HTTP, whoever answers.
package problem

import (
	"net/http"
	"time"

	"github.com/parley-chat/parley"
)

// ContentType is that of a Problem as JSON.
const ContentType = "application/problem+json"

// Problem is the body of an answer that refuses; see the schema of that name in
// openapi.yaml.
type Problem struct {
	Type       string           `json:"type"`
	Title      string           `json:"title"`
	Status     int              `json:"status"`
	Detail     string           `json:"detail"`
	Code       parley.Code      `json:"code"`
	Retry      bool             `json:"retry"`
	RetryAfter int64            `json:"retryAfter,omitempty"` // seconds
	ID         string           `json:"id,omitempty"`
	Current    *parley.Register `json:"current,omitempty"`
}

// Of describes a refusal that is answered with a status. wait is how long to wait
// before the same is tried again, 0 where that is of no use or not known.
func Of(refusal *parley.Error, status int, wait time.Duration) Problem {
	return Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: refusal.Message, Code: refusal.Code, Retry: refusal.Code.Retry(), RetryAfter: parley.Seconds(wait),
		ID: refusal.ID, Current: refusal.Current,
	}
}

// Status is the one place where refusals become HTTP.
func Status(code parley.Code) int {
	switch code {
	case parley.CodeInvalid:
		return http.StatusBadRequest
	case parley.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case parley.CodeUnauthenticated:
		return http.StatusUnauthorized
	case parley.CodeForbidden:
		return http.StatusForbidden
	case parley.CodeNotFound:
		return http.StatusNotFound
	case parley.CodeConflict, parley.CodeStale, parley.CodeClosed:
		return http.StatusConflict
	case parley.CodeRateLimited:
		return http.StatusTooManyRequests
	case parley.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
