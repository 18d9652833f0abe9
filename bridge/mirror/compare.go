package mirror

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// maxDifferences is how many are named.
const maxDifferences = 20

// Differences is what two stores do not have in common. It never quotes what
// somebody wrote, or a secret.
type Differences struct {
	Named []string // the first ones
	Count int64
}

// Error says what differs.
func (d *Differences) Error() string {
	text := fmt.Sprintf("the stores differ in %d places: %s", d.Count, strings.Join(d.Named, "; "))
	if d.Count > int64(len(d.Named)) {
		text += "; …"
	}
	return text
}

// Compare reads two stores to the end, every entry and every row, and returns
// *Differences unless they hold the same.
func Compare(ctx context.Context, one, other bridge.Portable, o Options) (Progress, error) {
	c := &comparer{one: one, other: other, tally: tally{tell: o.Tell}}
	if one.Epoch() != other.Epoch() {
		c.differ("one's epoch is %s, the other's %s", one.Epoch(), other.Epoch())
	}
	if err := eachStream(ctx, one, other, func(name parley.Stream, a, b bridge.StreamState) error { return c.stream(ctx, name, a, b) }); err != nil {
		return c.done, err
	}
	for _, kind := range bridge.RowKinds() {
		if err := c.rows(ctx, kind); err != nil {
			return c.done, err
		}
	}
	if c.found.Count > 0 {
		return c.done, &c.found
	}
	return c.done, nil
}

type comparer struct {
	one, other bridge.Portable
	tally
	found Differences
}

func (c *comparer) differ(format string, args ...any) {
	if c.found.Count++; len(c.found.Named) < maxDifferences {
		c.found.Named = append(c.found.Named, fmt.Sprintf(format, args...))
	}
}

// stream compares a stream. Of one that differs it names the first difference.
func (c *comparer) stream(ctx context.Context, name parley.Stream, a, b bridge.StreamState) error {
	c.done.Streams++
	if a.Seq != b.Seq || a.First != b.First {
		c.differ("%s: %d entries from %d on, and %d from %d on", name, a.Seq, a.First, b.Seq, b.First)
		return nil
	}
	for after := int64(0); after < a.Seq; {
		left, err := c.one.Read(ctx, name, after, entriesPage)
		if err != nil {
			return err
		}
		right, err := c.other.Read(ctx, name, after, entriesPage)
		if err != nil {
			return err
		}
		n := min(len(left), len(right))
		if n == 0 {
			c.differ("%s: entry %d is missing", name, after+1)
			return nil
		}
		for i := range n {
			after++
			if field := difference(&left[i], &right[i]); field != "" || left[i].Seq != after {
				c.differ("%s: entry %d differs in its %s", name, after, field)
				return nil
			}
		}
		c.done.Entries += int64(n)
		c.told()
	}
	return nil
}

// difference names the first field in which two entries differ, empty if there is
// none.
func difference(a, b *parley.Entry) string {
	for _, field := range []struct {
		name string
		same bool
	}{
		{"stream", a.Stream == b.Stream}, {"seq", a.Seq == b.Seq}, {"id", a.ID == b.ID}, {"sender", a.Sender == b.Sender}, {"device", a.Device == b.Device},
		{"role", a.Role == b.Role}, {"type", a.Type == b.Type}, {"body", bytes.Equal(a.Body, b.Body)}, {"at", a.At == b.At},
		{"count", a.Count == b.Count}, {"digest", bytes.Equal(a.Digest, b.Digest)}, {"redacted", a.Redacted == b.Redacted},
	} {
		if !field.same {
			return field.name
		}
	}
	return ""
}

// rows compares rows of a kind: both come in the order of their keys.
func (c *comparer) rows(ctx context.Context, kind bridge.RowKind) error {
	after := ""
	for {
		left, err := c.one.Rows(ctx, kind, after, rowsPage)
		if err != nil {
			return err
		}
		right, err := c.other.Rows(ctx, kind, after, rowsPage)
		if err != nil {
			return err
		}
		n := min(len(left), len(right))
		for i := range n {
			if left[i].Key != right[i].Key {
				c.differ("%s: only one of them has %s", kind, shown(min(left[i].Key, right[i].Key)))
				return nil
			}
			if !bytes.Equal(left[i].Value, right[i].Value) {
				c.differ("%s %s", kind, shown(left[i].Key))
			}
			after = left[i].Key
		}
		c.done.Rows += int64(n)
		c.told()
		if len(left) != len(right) {
			c.differ("%s: one of them has more, behind %s", kind, shown(after))
			return nil
		}
		if n == 0 {
			return nil
		}
	}
}

// shown is a key as a person reads it.
func shown(key string) string { return strings.ReplaceAll(key, "\x00", " ") }
