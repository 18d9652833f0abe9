package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/internal/problem"
)

// Retry-After where the refusal itself does not know.
const (
	retryLimited     = 10 * time.Second
	retryUnavailable = 2 * time.Second
)

// handleError answers what no handler answered. It is the edge that gives up, so
// it is the one that logs.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		s.logFailure(c, slog.LevelError, err) // the client has seen a cut answer
		return
	}
	refusal, status := refusalOf(err)
	switch refusal.Code {
	case parley.CodeInternal:
		s.logFailure(c, slog.LevelError, err)
	case parley.CodeUnavailable: // also by many sign-ins at once; a store that is down says so itself
		s.logFailure(c, slog.LevelInfo, err)
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	if wait := retryAfter(refusal); wait > 0 {
		h.Set("Retry-After", strconv.FormatInt(parley.Seconds(wait), 10))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="parley"`)
	}
	if err := writeProblem(c, refusal, status); err != nil {
		s.logFailure(c, slog.LevelError, err)
	}
}

// logFailure logs what an operator may have to do something about. Above
// slog.LevelInfo are only failures of ours, never what any visitor can bring
// about: else visitors could fill the log that somebody is woken by.
func (s *Server) logFailure(c echo.Context, level slog.Level, err error) {
	if errors.Is(c.Request().Context().Err(), context.Canceled) {
		return // the client has left; nothing failed
	}
	s.options.Logger.Log(c.Request().Context(), level, "http request failed",
		"request", c.Response().Header().Get(echo.HeaderXRequestID), "route", c.Path(), "err", err)
}

// refusalOf translates any error. Those of Echo keep their status, which says
// more than our code (405, 415).
func refusalOf(err error) (*parley.Error, int) {
	var ours *parley.Error
	var echos *echo.HTTPError
	switch {
	case errors.As(err, &ours):
		return ours, problem.Status(ours.Code)
	case errors.As(err, &echos):
		return refusalOfEcho(echos), echos.Code
	case errors.Is(err, parley.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return parley.Errorf(parley.CodeUnavailable, "this could not be finished now; try again"), http.StatusServiceUnavailable
	}
	return parley.ErrorOf(err), http.StatusInternalServerError
}

// badParameter finds the name in what the generated code says of a parameter.
var badParameter = regexp.MustCompile(`parameter ([A-Za-z-]+):`)

func refusalOfEcho(err *echo.HTTPError) *parley.Error {
	switch err.Code {
	case http.StatusBadRequest:
		if found := badParameter.FindStringSubmatch(fmt.Sprint(err.Message)); found != nil {
			return parley.Errorf(parley.CodeInvalid, "the parameter %s is missing, given twice or of the wrong form; see /v1/openapi.yaml", found[1])
		}
		return parley.Errorf(parley.CodeInvalid, "a parameter has the wrong form; see /v1/openapi.yaml")
	case http.StatusNotFound:
		return parley.Errorf(parley.CodeNotFound, "there is nothing at this path")
	case http.StatusMethodNotAllowed:
		return parley.Errorf(parley.CodeInvalid, "this path does not take that method")
	case http.StatusRequestEntityTooLarge:
		return parley.Errorf(parley.CodeTooLarge, "the request body is larger than 256 KiB")
	case http.StatusUnsupportedMediaType:
		return parley.Errorf(parley.CodeInvalid, "the request body must be application/json")
	}
	return &parley.Error{Code: parley.CodeInternal, Message: "internal error"}
}

// retryAfter is how long to wait before the same is tried again, 0 where that is
// of no use or not known.
func retryAfter(refusal *parley.Error) time.Duration {
	switch {
	case refusal.RetryAfter > 0:
		return refusal.RetryAfter
	case refusal.Code == parley.CodeRateLimited:
		return retryLimited
	case refusal.Code == parley.CodeUnavailable:
		return retryUnavailable
	}
	return 0
}

func writeProblem(c echo.Context, refusal *parley.Error, status int) error {
	body, err := json.Marshal(problem.Of(refusal, status, retryAfter(refusal)))
	if err != nil {
		return fmt.Errorf("encode problem: %w", err)
	}
	if c.Request().Method == http.MethodHead {
		return c.NoContent(status)
	}
	return c.Blob(status, problem.ContentType, body)
}
