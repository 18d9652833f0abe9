package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/parley-chat/parley"
)

// jsonBinder reads request bodies, and nothing but bodies. A raw body is left as
// it is for parley.DecodeDraft; any other is a JSON object whose members have
// exactly the names and types of the description, null being none of them. Other
// members are ignored.
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
	members, err := readMembers(body, memberNames(target))
	if err != nil {
		return err
	}
	return decodeMembers(members, target)
}

// readMembers takes an object apart and keeps the members that are known: by
// exactly their names, where encoding/json would take "SITEKEY" for "siteKey".
// One that comes twice is refused, for nobody can say which value was meant.
func readMembers(body []byte, known []string) (map[string]json.RawMessage, error) {
	notAnObject := parley.Errorf(parley.CodeInvalid, "the request body is not a JSON object")
	if !json.Valid(body) {
		return nil, notAnObject
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, notAnObject
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		name, isString := token.(string)
		var value json.RawMessage
		if err != nil || !isString || d.Decode(&value) != nil {
			return nil, notAnObject
		}
		if !slices.Contains(known, name) {
			continue
		}
		if _, twice := members[name]; twice {
			return nil, parley.Errorf(parley.CodeInvalid, "%q is given twice", name)
		}
		if bytes.Equal(value, []byte("null")) {
			return nil, parley.Errorf(parley.CodeInvalid, "%q is null; leave it out, or give it a value", name)
		}
		members[name] = value
	}
	return members, nil
}

// memberNames returns the JSON names of the fields of the struct that target
// points to.
func memberNames(target any) (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeOf(target).Elem()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func decodeMembers(members map[string]json.RawMessage, target any) error {
	body, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("encode members: %w", err)
	}
	var wrong *json.UnmarshalTypeError
	err = json.Unmarshal(body, target)
	if errors.As(err, &wrong) {
		return parley.Errorf(parley.CodeInvalid, "%q is a JSON %s where a %s is expected", wrong.Field, wrong.Value, wrong.Type)
	}
	if err != nil {
		return parley.Errorf(parley.CodeInvalid, "the request body does not have the form described in /v1/openapi.yaml")
	}
	return nil
}
