package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parley-chat/parley/api"
)

// scrape reads the metrics from the private handler.
func (f *fixture) scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.private.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	f := setup(t, func(o *api.Options) {
		o.Samples = []func() []api.Sample{
			func() []api.Sample {
				return []api.Sample{
					{Name: "parley_test_recorded_total", Help: "Recorded.", Counter: true, Value: 7},
					{Name: "parley_test_open", Help: "Open.", Value: 3, Labels: map[string]string{"kind": "b"}},
				}
			},
			func() []api.Sample { return []api.Sample{{Name: "parley_test_other", Help: "Other.", Value: 1}} },
		}
	})
	id := f.open(t, 2)
	f.get(t, f.stranger, "/v1/conversations/"+id)
	f.get(t, f.visitor, "/unknown/"+id)
	f.do(t, request{method: "BREW", path: "/v1/me"})
	f.stop() // requests are counted after their answer

	got := f.scrape(t)
	for _, want := range []string{
		"# TYPE parley_test_recorded_total counter",
		"parley_test_recorded_total 7",
		`parley_test_open{kind="b"} 3`,
		"parley_test_other 1",
		`parley_http_request_duration_seconds_count{method="POST",route="/v1/conversations/:id/messages",status="201"} 2`,
		`parley_http_request_duration_seconds_count{method="GET",route="/v1/conversations/:id",status="404"} 1`,
		`parley_http_request_duration_seconds_count{method="GET",route="other",status="404"} 1`,
		`parley_http_request_duration_seconds_count{method="other",route="/v1/me",status="405"} 1`,
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, id) {
		t.Error("an id is in the metrics")
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestPrivateHandlerHasHealthToo(t *testing.T) {
	f := setup(t, nil)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/v1/me": 404, "/agent/": 404} {
		w := httptest.NewRecorder()
		f.private.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}
