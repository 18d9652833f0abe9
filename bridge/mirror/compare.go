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
	Lists int64 // how many of them are in what lists show, which is made from the entries
}

// Error says what differs.
func (d *Differences) Error() string {
	text := fmt.Sprintf("the stores differ in %s: %s", places(d.Count), strings.Join(d.Named, "; "))
	if d.Count > int64(len(d.Named)) {
		text += "; …"
	}
	if d.Lists == d.Count {
		text += "; all of it is made from the entries, which are the same: it is behind in a store whose server was killed, until one is started there and stopped"
	}
	return text
}

func places(n int64) string {
	if n == 1 {
		return "one place"
	}
	return fmt.Sprintf("%d places", n)
}

// Compare reads two stores to the end, every entry and every row, and returns
// *Differences unless they hold the same.
func Compare(ctx context.Context, one, other bridge.Portable, o Options) (Progress, error) {
	o = o.withDefaults()
	c := &comparer{names: o.Names, tally: newTally(o)}
	c.one, c.other = &patientReader{Portable: one, tally: &c.tally}, &patientReader{Portable: other, tally: &c.tally}
	if one.Epoch() != other.Epoch() {
		c.differ("the epoch is %s in %s and %s in %s: they are not copies of one store", one.Epoch(), c.names[0], other.Epoch(), c.names[1])
	}
	for _, kind := range bridge.RowKinds() {
		if err := c.rows(ctx, kind); err != nil {
			return c.done, err
		}
	}
	if err := eachStream(ctx, c.one, c.other, func(name parley.Stream, a, b bridge.StreamState) error { return c.stream(ctx, name, a, b) }); err != nil {
		return c.done, err
	}
	if c.found.Count > 0 {
		return c.done, &c.found
	}
	return c.done, nil
}

type comparer struct {
	one, other bridge.Portable
	names      [2]string
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
	switch {
	case a.Seq == 0 || b.Seq == 0:
		c.differ("%s is missing in %s", name, c.names[lacking(int(a.Seq))])
		return nil
	case a.Seq != b.Seq:
		c.differ("%s goes up to entry %d in %s, up to entry %d in %s", name, a.Seq, c.names[0], b.Seq, c.names[1])
		return nil
	case a.First != b.First:
		c.differ("%s: the history begins at entry %d in %s, at entry %d in %s", name, max(1, a.First), c.names[0], max(1, b.First), c.names[1])
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
			c.differ("%s: entry %d is missing in %s", name, after+1, c.names[lacking(len(left))])
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

// lacking returns which of two stores has fewer: left is what the first one has more.
func lacking(left int) int {
	if left > 0 {
		return 1
	}
	return 0
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
			if a, b := left[i].Key, right[i].Key; a != b {
				c.alone(kind, min(a, b), lacking(strings.Compare(b, a)))
				return nil
			}
			if !bytes.Equal(left[i].Value, right[i].Value) {
				c.differ("%s is not the same", called(kind, left[i].Key))
				c.list(kind, left[i].Key)
			}
			after = left[i].Key
		}
		c.done.Rows += int64(n)
		c.told()
		switch {
		case len(left) > n:
			c.alone(kind, left[n].Key, 1)
			return nil
		case len(right) > n:
			c.alone(kind, right[n].Key, 0)
			return nil
		case n == 0:
			return nil
		}
	}
}

// alone notes a row that one of the stores lacks. The rest of its kind is not
// compared.
func (c *comparer) alone(kind bridge.RowKind, key string, lacks int) {
	c.differ("%s is missing in %s", called(kind, key), c.names[lacks])
	c.list(kind, key)
}

// list counts a difference in what is made from the entries.
func (c *comparer) list(kind bridge.RowKind, key string) {
	if kind == bridge.RowConversation || kind == bridge.RowRegister || kind == bridge.RowNumber && key == bridge.NumberProjected {
		c.found.Lists++
	}
}

// called is what a user calls a row.
func called(kind bridge.RowKind, key string) string {
	switch {
	case kind == bridge.RowNumber && key == bridge.NumberProjected:
		return "the time up to which lists of conversations are brought up to date"
	case kind == bridge.RowNumber && key == bridge.NumberGeneration:
		return "the number of the newest session"
	}
	what := map[bridge.RowKind]string{
		bridge.RowSecret: "the secret", bridge.RowSite: "the site", bridge.RowAccount: "the account", bridge.RowRevocation: "the end of logins of",
		bridge.RowSession: "the session of", bridge.RowCursor: "the cursor of", bridge.RowRegister: "the setting of", bridge.RowConversation: "what lists show of conversation",
		bridge.RowNumber: "the number",
	}[kind]
	return what + " " + shown(key)
}

// shown is a key as a person reads it.
func shown(key string) string {
	return strings.Join(strings.FieldsFunc(key, func(r rune) bool { return r == 0 }), " ")
}
