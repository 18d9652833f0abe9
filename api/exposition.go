package api

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// exposition is a page in Prometheus' text format, version 0.0.4. Its own library would
// do it, with a tenth of the binary: that describes metrics in protocol buffers.
type exposition struct {
	families map[string]*family
}

// family is the metrics of one name.
type family struct {
	name, help, kind string
	lines            bytes.Buffer
}

// family returns that of a name, and begins it where it is new.
func (e *exposition) family(name, help, kind string) *family {
	f := e.families[name]
	if f == nil {
		if e.families == nil {
			e.families = map[string]*family{}
		}
		f = &family{name: name, help: help, kind: kind}
		e.families[name] = f
	}
	return f
}

func (e *exposition) sample(s Sample) {
	kind := "gauge"
	if s.Counter {
		kind = "counter"
	}
	e.family(s.Name, s.Help, kind).line("", s.Labels, s.Value)
}

// line adds a metric, whose name is that of the family with suffix.
func (f *family) line(suffix string, labels map[string]string, value float64) {
	b := &f.lines
	b.WriteString(f.name + suffix)
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(name + `="` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(labels[name]) + `"`)
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + number(value) + "\n")
}

// text returns the page, the families in the order of their names.
func (e *exposition) text() []byte {
	var page bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(e.families)) {
		f := e.families[name]
		page.WriteString("# HELP " + name + " " + strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(f.help) + "\n")
		page.WriteString("# TYPE " + name + " " + f.kind + "\n")
		page.Write(f.lines.Bytes())
	}
	return page.Bytes()
}

// number writes also what is no number, or has no end, as the format wants it.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
