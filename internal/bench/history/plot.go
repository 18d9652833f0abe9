package history

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Where things are in the plot, in pixels.
const (
	plotWidth, panelHeight = 1020, 330
	plotLeft, plotRight    = 70, 400
	panelTop, panelBottom  = 40, 36
)

// plot draws p99 over the number of messages as SVG, both in powers of ten: a
// panel for pages and one for searches.
func (r *Result) plot() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12" fill="#3b4252">
<rect width="%d" height="%d" rx="8" fill="#fff"/>
`, plotWidth, 2*panelHeight, plotWidth, 2*panelHeight)
	r.panel("A page, p99 in ms", pageLimit, 0).draw(&b)
	r.panel("A search, p99 in ms", searchLimit, panelHeight).draw(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *Result) panel(title string, limit time.Duration, top float64) *panel {
	p := &panel{title: title, top: top, limit: limit.Seconds() * 1000, low: math.Inf(1), high: limit.Seconds() * 1000}
	for _, s := range r.Stages {
		p.sizes = append(p.sizes, s.Messages)
	}
	for i, m := range r.Stages[0].Measures {
		if m.Limit != limit {
			continue
		}
		l := line{name: m.Name}
		for _, s := range r.Stages {
			ms := max(s.Measures[i].P99.Seconds()*1000, 0.001)
			l.values = append(l.values, ms)
			p.low, p.high = min(p.low, ms), max(p.high, ms)
		}
		p.lines = append(p.lines, l)
	}
	p.low = math.Pow(10, math.Floor(math.Log10(p.low)))
	p.high = math.Pow(10, math.Ceil(math.Log10(p.high)))
	return p
}

// panel is what has the same limit.
type panel struct {
	title     string
	top       float64
	limit     float64 // in ms, as all that follows
	low, high float64
	sizes     []int
	lines     []line
}

type line struct {
	name   string
	values []float64
}

func (p *panel) draw(b *strings.Builder) {
	fmt.Fprintf(b, `<text x="%d" y="%.0f" font-weight="600">%s</text>`+"\n", plotLeft, p.top+22, p.title)
	for v := p.low; v <= p.high*1.01; v *= 10 {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#e5e9f0"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			plotLeft, p.y(v), plotWidth-plotRight, plotLeft-8, p.y(v)+4, v)
	}
	for i, n := range p.sizes {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", p.x(i), p.top+panelHeight-14, thousands(n))
	}
	fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#bf616a" stroke-dasharray="5 4"/><text x="%d" y="%.1f" fill="#bf616a">limit %g ms</text>`+"\n",
		plotLeft, p.y(p.limit), plotWidth-plotRight, plotLeft+4, p.y(p.limit)-4, p.limit)
	for i, l := range p.lines {
		p.drawLine(b, l, i)
	}
}

func (p *panel) drawLine(b *strings.Builder, l line, i int) {
	colour := fmt.Sprintf("hsl(%d 60%% 42%%)", i*360/len(p.lines))
	path := "M"
	for k, v := range l.values {
		path += fmt.Sprintf("%.1f %.1f ", p.x(k), p.y(v))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`, p.x(k), p.y(v), colour)
	}
	legend := p.top + panelTop + float64(i)*15
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-linejoin="round"/>`, strings.TrimSpace(path), colour)
	fmt.Fprintf(b, `<rect x="%d" y="%.1f" width="12" height="3" fill="%s"/><text x="%d" y="%.1f">%s, %.2f</text>`+"\n",
		plotWidth-plotRight+24, legend-4, colour, plotWidth-plotRight+42, legend, l.name, l.values[len(l.values)-1])
}

// x returns where the i-th size is.
func (p *panel) x(i int) float64 {
	if len(p.sizes) == 1 {
		return plotLeft + (plotWidth-plotLeft-plotRight)/2
	}
	from, to := math.Log(float64(p.sizes[0])), math.Log(float64(p.sizes[len(p.sizes)-1]))
	share := (math.Log(float64(p.sizes[i])) - from) / (to - from)
	return plotLeft + 30 + share*(plotWidth-plotLeft-plotRight-60)
}

func (p *panel) y(v float64) float64 {
	share := math.Log(v/p.low) / math.Log(p.high/p.low)
	return p.top + panelHeight - panelBottom - share*(panelHeight-panelTop-panelBottom)
}
