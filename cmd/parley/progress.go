package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far something long has come: a bar in place on a terminal, a line
// every few seconds elsewhere.
type progress struct {
	out    io.Writer
	place  bool // whether a line can be drawn again in its place
	colour bool

	text    string
	began   time.Time
	shown   time.Time
	drawn   bool
	waiting bool
}

const (
	barWidth   = 24
	drawEvery  = 100 * time.Millisecond
	printEvery = 5 * time.Second
)

func newProgress(out io.Writer) *progress {
	place := onTerminal(out)
	return &progress{out: out, place: place, colour: place && os.Getenv("NO_COLOR") == ""}
}

// onTerminal reports whether a person is looking.
func onTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) print(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...) // a screen that is gone stops nothing
}

func (p *progress) tint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// begin begins a step.
func (p *progress) begin(text string) {
	p.clear()
	p.text, p.began, p.shown = text, time.Now(), time.Time{}
	if !p.place {
		p.shown = p.began
		p.print("%s …\n", text)
	}
}

// at shows how far the step has come: part is 0 to 1, below 0 where it is not known.
func (p *progress) at(part float64, what string) {
	every := printEvery
	if p.place {
		every = drawEvery
	}
	now := time.Now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown, p.waiting = now, false
	if !p.place {
		if part >= 0 {
			what = fmt.Sprintf("%.0f %%, %s", 100*min(part, 1), what)
		}
		p.print("%s: %s\n", p.text, what)
		return
	}
	p.draw(part, what)
}

func (p *progress) draw(part float64, what string) {
	line := "\r\x1b[K  " + cutShort(p.text) + "  "
	if part >= 0 {
		line += p.bar(min(part, 1)) + fmt.Sprintf(" %3.0f %%  ", 100*min(part, 1))
	}
	p.drawn = true
	p.print("%s%s", line, p.tint("2", what+p.left(part)))
}

// textWidth is how much of a step's text fits in front of a bar: a line that wraps
// cannot be drawn again.
const textWidth = 34

func cutShort(text string) string {
	if r := []rune(text); len(r) > textWidth {
		return string(r[:textWidth-1]) + "…"
	}
	return text
}

// bar draws halves of a column too.
func (p *progress) bar(part float64) string {
	halves := int(part * 2 * barWidth)
	full := strings.Repeat("━", halves/2)
	if halves%2 == 1 {
		full += "╸"
	}
	rest := strings.Repeat("─", barWidth-(halves+1)/2)
	return p.tint("32", full) + p.tint("2", rest)
}

// left is about how long the step will still take, once that can be told.
func (p *progress) left(part float64) string {
	took := time.Since(p.began)
	if part < 0.05 || part > 1 || took < 2*time.Second {
		return ""
	}
	return "  " + shortTime(time.Duration(float64(took)*(1-part)/part)) + " left"
}

// wait says why it does not get on.
func (p *progress) wait(why error) {
	if p.waiting && time.Since(p.shown) < printEvery {
		return
	}
	p.clear()
	p.waiting, p.shown = true, time.Now()
	p.print("%s waiting, then trying again: %v\n", p.tint("33", "•"), why)
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.drawn {
		p.print("\r\x1b[K")
		p.drawn = false
	}
}

// done ends with what has come out, and says more below it.
func (p *progress) done(text string, more ...string) {
	p.clear()
	p.print("%s %s\n", p.tint("32", "✓"), text)
	for _, line := range more {
		p.print("  %s\n", line)
	}
}

func shortTime(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

func shortSize(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// counted is a number that a person can read, with what it counts.
func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + more
}
