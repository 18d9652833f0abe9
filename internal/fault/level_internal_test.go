package fault

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/fault/checker"
)

// lives are samples of a server that is ended twice: after 10 minutes, and after
// another 90.
func lives(uses func(minute float64) float64) []sample {
	var all []sample
	for at := time.Duration(0); at < 2*time.Hour; at += sampleEvery {
		s := sample{at: at}
		if at > 10*time.Minute {
			s.life++
		}
		if at > 100*time.Minute {
			s.life++
		}
		for i := range s.uses {
			s.uses[i] = uses(at.Minutes())
		}
		all = append(all, s)
	}
	return all
}

func TestLevel(t *testing.T) {
	for name, test := range map[string]struct {
		uses  func(minute float64) float64
		level bool
	}{
		"level":                        {func(float64) float64 { return 100 }, true},
		"a wave":                       {func(m float64) float64 { return 100 + 4*math.Sin(m) }, true},
		"too much in other lives only": {func(m float64) float64 { return 100 + 50*max(0, m-101) + 50*max(0, 9-m) }, true},
		"growing while it warms up":    {func(m float64) float64 { return min(100, 50+m*2) }, true},
		"a leak":                       {func(m float64) float64 { return 100 + m/5 }, false},
		"a hump":                       {func(m float64) float64 { return 100 + 10*max(0, 2-math.Abs(m-60)) }, false},
		"a moment":                     {func(m float64) float64 { return 100 + 900*max(0, 0.1-math.Abs(m-60)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Result{Row: Rows()[0], Report: &checker.Report{}}
			r.level(lives(test.uses))
			if r.InTime() != test.level {
				t.Errorf("level is %t: %v", r.InTime(), r.Figures())
			}
		})
	}
}

func TestPlotIsXML(t *testing.T) {
	for name, samples := range map[string][]sample{"none": nil, "hours": lives(func(m float64) float64 { return m })} {
		for decoder := xml.NewDecoder(strings.NewReader(plotOf(samples))); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}
