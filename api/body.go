package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// jsonBinder reads request bodies, and nothing but bodies. A raw body is left as
// it is for parley.DecodeDraft; any other is a JSON object whose members have
// exactly the types of the description, null being none of them.
type jsonBinder struct{}

// Bind implements echo.Binder.
func (jsonBinder) Bind(target any, c echo.Context) error {
	r := c.Request()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return echo.ErrUnsupportedMediaType
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return readError(err)
	}
	if raw, ok := target.(*json.RawMessage); ok {
		*raw = body
		return nil
	}
	return decodeObject(body, target)
}

func readError(err error) error {
	var known *echo.HTTPError
	if errors.As(err, &known) {
		return known // the body limit
	}
	return fmt.Errorf("%w: %w", parley.Errorf(parley.CodeInvalid, "the request body broke off"), err)
}

func decodeObject(body []byte, target any) error {
	if !utf8.Valid(body) {
		return parley.Errorf(parley.CodeInvalid, "the request body is not valid UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return parley.Errorf(parley.CodeInvalid, "the request body is not a JSON object")
	}
	for name, value := range members {
		if bytes.Equal(value, []byte("null")) {
			return parley.Errorf(parley.CodeInvalid, "%q is null; leave it out, or give it a value", name)
		}
	}
	var wrong *json.UnmarshalTypeError
	err := json.Unmarshal(body, target)
	if errors.As(err, &wrong) {
		return parley.Errorf(parley.CodeInvalid, "%q is a JSON %s where a %s is expected", wrong.Field, wrong.Value, wrong.Type)
	}
	if err != nil {
		return parley.Errorf(parley.CodeInvalid, "the request body does not have the form described in /v1/openapi.yaml")
	}
	return nil
}
