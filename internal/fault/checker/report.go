package checker

import "fmt"

// maxExamples is how many findings a Report spells out.
const maxExamples = 10

// Report is what Check found. The counts of what went wrong are all 0 in a run
// that kept the promises.
type Report struct {
	Sent      int // different messages sent
	Acked     int // of these, acknowledged
	Marks     int // marks acknowledged
	Edits     int // edits and deletes acknowledged
	Registers int // personal registers acknowledged
	Stale     int // sets of registers refused because somebody was faster
	Stored    int // entries in the streams, control entries included
	Shown     int // entries shown, over all devices

	Lost        int // acknowledged but not stored, or owed to a device and never shown
	Doubled     int // stored or shown more than once
	Reordered   int // not in the sender's order, not in the stream's order, or not where the acknowledgement said
	Gaps        int // positions missing inside a stream or inside what a device showed
	Changed     int // stored or shown with other content
	Unexplained int // stored without being sent, stored though refused, shown without being stored or owed

	Examples []string // the first few findings, in words; message ids, never bodies
}

// OK reports whether nothing went wrong.
func (r *Report) OK() bool {
	return r.Lost+r.Doubled+r.Reordered+r.Gaps+r.Changed+r.Unexplained == 0
}

// String returns the counts in one line.
func (r *Report) String() string {
	return fmt.Sprintf("sent %d, acknowledged %d and %d marks, %d registers (%d stale), %d edits, stored %d, shown %d; lost %d, doubled %d, reordered %d, gaps %d, changed %d, unexplained %d",
		r.Sent, r.Acked, r.Marks, r.Registers, r.Stale, r.Edits, r.Stored, r.Shown, r.Lost, r.Doubled, r.Reordered, r.Gaps, r.Changed, r.Unexplained)
}

func (r *Report) find(count *int, format string, args ...any) {
	*count++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// Add adds what another check has found.
func (r *Report) Add(o *Report) {
	for _, c := range []struct {
		to *int
		n  int
	}{
		{&r.Sent, o.Sent}, {&r.Acked, o.Acked}, {&r.Marks, o.Marks}, {&r.Registers, o.Registers}, {&r.Stale, o.Stale}, {&r.Edits, o.Edits}, {&r.Stored, o.Stored}, {&r.Shown, o.Shown},
		{&r.Lost, o.Lost}, {&r.Doubled, o.Doubled}, {&r.Reordered, o.Reordered}, {&r.Gaps, o.Gaps},
		{&r.Changed, o.Changed}, {&r.Unexplained, o.Unexplained},
	} {
		*c.to += c.n
	}
	r.Examples = append(r.Examples, o.Examples[:min(len(o.Examples), max(0, maxExamples-len(r.Examples)))]...)
}
