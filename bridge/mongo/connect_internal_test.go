package mongo

import (
	"errors"
	"testing"
)

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		version string
		want    bool
	}{
		{"4.2.24", true}, {"4.4.0", false}, {"4.10.1", false}, {"3.6.8", true}, {"7.0.42", false}, {"8.0.0-rc1", false}, {"", false}, {"unknown", false},
	} {
		if got := older(c.version, MinVersion); got != c.want {
			t.Errorf("%q is older than %s: %v", c.version, MinVersion, got)
		}
	}
}

func TestSanitize(t *testing.T) {
	for _, c := range []struct{ uri, text, want string }{
		{"mongodb://ann:s3cret@db", "cannot use mongodb://ann:s3cret@db", "cannot use mongodb://ann:***@db"},
		{"mongodb+srv://ann:s3cret@db/x?tls=true", "s3cret is wrong", "*** is wrong"},
		{"mongodb://ann:s3@cret@db", "what is s3@cret", "what is ***"},
		{"mongodb://ann@db", "mongodb://ann@db is down", "mongodb://ann:***@db is down"},
		{"mongodb://db", "nothing secret", "nothing secret"},
	} {
		if got := sanitize(errors.New(c.text), c.uri).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
