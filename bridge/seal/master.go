package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MasterKey wraps the data keys of sites. It lives outside of the store. Printed, it is
// its id.
type MasterKey struct {
	id     string
	renews bool // data keys that are older than this key are not used for what is new
	key    [keySize]byte
}

// renewing is the word that stands behind a master key which comes with new data keys.
const renewing = "new-data-keys"

var masterID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// NewMasterKey makes a random one, whose id begins with the day. renew makes every site
// use a new data key from then on.
func NewMasterKey(now time.Time, renew bool) MasterKey {
	m := MasterKey{id: now.UTC().Format("2006-01-02-") + strings.ToLower(rand.Text()[:6]), renews: renew}
	_, _ = rand.Read(m.key[:]) // never fails: crypto/rand ends the process instead
	return m
}

// ID names the key; it is no secret.
func (m MasterKey) ID() string { return m.id }

// String is the id.
func (m MasterKey) String() string { return m.id }

// GoString is the id, so that %#v does not tell the key either.
func (m MasterKey) GoString() string { return m.id }

// LogValue is the id.
func (m MasterKey) LogValue() slog.Value { return slog.StringValue(m.id) }

// Line returns the key as a line of a key file. It is the secret itself.
func (m MasterKey) Line() string {
	line := m.id + " " + base64.StdEncoding.EncodeToString(m.key[:])
	if m.renews {
		line += " " + renewing
	}
	return line
}

// Keys are master keys, the newest first. The zero value has none.
type Keys struct{ list []MasterKey }

// NewKeys returns keys, the newest first. It fails if two have one id.
func NewKeys(list ...MasterKey) (Keys, error) {
	seen := map[string]bool{}
	for _, m := range list {
		if seen[m.id] {
			return Keys{}, fmt.Errorf("two master keys have the id %s", m.id)
		}
		seen[m.id] = true
	}
	return Keys{list}, nil
}

// ParseKeys reads master keys, the newest first: an id and 32 bytes in base64 for each,
// on a line of its own or behind a comma. What begins with # is a comment. The errors
// quote nothing of a key.
func ParseKeys(text string) (Keys, error) {
	var list []MasterKey
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for key := range strings.SplitSeq(line, ",") {
			fields := strings.Fields(key)
			if len(fields) == 0 {
				continue
			}
			m, err := parseKey(fields)
			if err != nil {
				return Keys{}, fmt.Errorf("master key %d: %w", len(list)+1, err)
			}
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return Keys{}, errors.New("there is no master key; make one with: parley key new")
	}
	return NewKeys(list...)
}

func parseKey(fields []string) (MasterKey, error) {
	if len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && fields[2] != renewing {
		return MasterKey{}, fmt.Errorf("write an id, a space and the key, and %s behind it where data keys are to be new", renewing)
	}
	if !masterID.MatchString(fields[0]) {
		return MasterKey{}, errors.New("an id is 1 to 64 letters, digits, dots, - and _, and comes before the key")
	}
	m := MasterKey{id: fields[0], renews: len(fields) == 3}
	key, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil || len(key) != keySize {
		return MasterKey{}, fmt.Errorf("the key %s is not %d bytes in base64", m.id, keySize)
	}
	copy(m.key[:], key)
	return m, nil
}

// Empty reports whether there are none.
func (k Keys) Empty() bool { return len(k.list) == 0 }

// Newest returns the first one; the zero one if there is none.
func (k Keys) Newest() MasterKey {
	if k.Empty() {
		return MasterKey{}
	}
	return k.list[0]
}

// With returns the keys with another, newer one in front.
func (k Keys) With(m MasterKey) (Keys, error) {
	return NewKeys(append([]MasterKey{m}, k.list...)...)
}

// Equal reports whether both are the same keys in the same order.
func (k Keys) Equal(o Keys) bool { return slices.Equal(k.list, o.list) }

// IDs returns the ids, the newest first.
func (k Keys) IDs() []string {
	ids := make([]string, len(k.list))
	for i, m := range k.list {
		ids[i] = m.id
	}
	return ids
}

// String is the ids.
func (k Keys) String() string { return strings.Join(k.IDs(), ", ") }

// GoString is the ids.
func (k Keys) GoString() string { return k.String() }

// LogValue is the ids.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k Keys) find(id string) (MasterKey, bool) {
	for _, m := range k.list {
		if m.id == id {
			return m, true
		}
	}
	return MasterKey{}, false
}
