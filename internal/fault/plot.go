package fault

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where things are in the plot, in pixels.
const (
	plotWidth, panelHeight = 960, 190
	plotLeft, plotRight    = 70, 20
	panelTop, panelBottom  = 34, 26
)

// writeHours writes what a server used during the long hours beside the table of
// results: HOURS.svg, and HOURS.md which tells what is to be seen.
func (r *Result) writeHours(table, where string) error {
	folder := filepath.Dir(table)
	if err := os.WriteFile(filepath.Join(folder, "HOURS.svg"), []byte(plotOf(r.samples)), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Long hours

Written by `+"`make soak`"+` (the row %s of `+"`parley fault`"+`). One server works for %v: four writers never
stop, every second a new visitor opens a conversation that an agent takes over and closes, %d devices of the agent come
and go, about every %v a cable is cut or frozen, three readers are stuck in different ways, and %d devices only are
there. The server is killed (-9) after a twelfth of the time and stopped before the last sixth. A sample is taken every
%v; of each minute the median counts. What must be level is the longest life of the server, but for its first sixth: no
minute more than %d %% away from the median of all, which is the grey band. What is beyond a limit is in bold.

%s![RSS, goroutines and file descriptors over time](HOURS.svg)

%d messages were acknowledged: lost %d, doubled %d, reordered %d, other %d. Seed `+"`%#x`"+`.

`, r.Row.Name, r.Took.Round(time.Minute), comers, cutEvery, sitters, sampleEvery, levelLimit, where,
		r.Report.Acked, r.Report.Lost, r.Report.Doubled, r.Report.Reordered,
		r.Report.Gaps+r.Report.Changed+r.Report.Unexplained+len(r.Problems()), r.Seed)
	for _, f := range r.Figures() {
		fmt.Fprintf(&b, "- %s\n", f.marked())
	}
	if err := os.WriteFile(filepath.Join(folder, "HOURS.md"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// plotOf draws the samples as SVG, a panel for each resource.
func plotOf(samples []sample) string {
	height := panelHeight * len(resources)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="#3b4252">
<rect width="%d" height="%d" rx="8" fill="#fff"/>
`, plotWidth, height, plotWidth, height)
	end := time.Minute
	if len(samples) > 0 {
		end = max(end, samples[len(samples)-1].at)
	}
	for i := range resources {
		p := panel{samples: samples, resource: i, end: end, top: float64(panelHeight * i)}
		p.draw(&b)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel is one resource over time.
type panel struct {
	samples  []sample
	resource int
	end      time.Duration
	top      float64
	limit    float64 // the value at its top
}

func (p *panel) draw(b *strings.Builder) {
	r := resources[p.resource]
	for _, s := range p.samples {
		p.limit = max(p.limit, s.uses[p.resource])
	}
	step := niceStep(p.limit / 4)
	p.limit = step * math.Ceil(max(p.limit, 1)/step)
	title := r.name
	if r.unit != "" {
		title += ", " + r.unit
	}
	fmt.Fprintf(b, `<text x="%d" y="%.0f" font-weight="600">%s</text>`+"\n", plotLeft, p.top+20, title)
	for v := 0.0; v <= p.limit; v += step {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#e5e9f0"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			plotLeft, p.y(v), plotWidth-plotRight, plotLeft-8, p.y(v)+4, v)
	}
	minutes := niceStep(p.end.Minutes() / 8)
	for m := 0.0; m <= p.end.Minutes(); m += minutes {
		x := p.x(time.Duration(m * float64(time.Minute)))
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%g min</text>`+"\n", x, p.top+panelHeight-8, m)
	}
	if judged := longestLife(p.samples); len(judged) > 0 {
		m := median(minutesOf(judged, p.resource))
		from, to := p.x(judged[0].at), p.x(judged[len(judged)-1].at)
		above, below := p.y(m*(1+levelLimit/100.0)), p.y(m*(1-levelLimit/100.0))
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#d8dee9"/>`+"\n", from, above, to-from, below-above)
	}
	life, line := -1, ""
	for _, s := range p.samples {
		if s.life != life {
			life, line = s.life, line+"M"
		}
		line += fmt.Sprintf("%.1f %.1f ", p.x(s.at), p.y(s.uses[p.resource]))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#2563eb" stroke-width="1.2" stroke-linejoin="round"/>`+"\n", strings.TrimSpace(line))
}

func (p *panel) x(at time.Duration) float64 {
	return plotLeft + float64(at)/float64(p.end)*(plotWidth-plotLeft-plotRight)
}

func (p *panel) y(v float64) float64 {
	return p.top + panelHeight - panelBottom - v/p.limit*(panelHeight-panelTop-panelBottom)
}

// niceStep returns the smallest of 1, 2 and 5 times a power of ten that is at
// least v, and at least 1.
func niceStep(v float64) float64 {
	for power := 1.0; ; power *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*power >= v {
				return n * power
			}
		}
	}
}
