package api_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/api"
)

// A tunnel's id is as good as the connection: it is in no log. Its down stream
// lasts, and those who open tunnels are told apart behind a proxy of ours.
func TestTunnelRequestsReachTheBroker(t *testing.T) {
	const secret = "tun_kanarienvogel"
	lasted := make(chan error, 1)
	f := setup(t, func(o *api.Options) {
		o.RequestTimeout = 50 * time.Millisecond
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		o.MQTT = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/down") {
				select {
				case <-r.Context().Done():
				case <-time.After(4 * o.RequestTimeout):
				}
				lasted <- r.Context().Err()
			}
			w.Header().Set("From", r.RemoteAddr)
		})
	})
	for _, r := range []request{
		{method: "POST", path: "/mqtt/http"},
		{method: "POST", path: "/mqtt/http/" + secret + "/up?n=1"},
		{method: "GET", path: "/mqtt/http/" + secret + "/down"},
	} {
		r.header = http.Header{"X-Forwarded-For": {"203.0.113.7"}}
		res := f.do(t, r)
		if res.status != http.StatusOK || !strings.HasPrefix(res.header.Get("From"), "203.0.113.7:") {
			t.Errorf("%s: status %d, from %q", r.path, res.status, res.header.Get("From"))
		}
	}
	if err := <-lasted; err != nil {
		t.Errorf("the down stream was ended: %v", err)
	}
	for _, r := range []request{{method: "PUT", path: "/mqtt/http"}, {method: "HEAD", path: "/mqtt/http/x/down"}} {
		if res := f.do(t, r); res.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: status %d", r.method, r.path, res.status)
		}
	}
	f.stop()
	if strings.Contains(f.log.String(), secret) {
		t.Error("the log holds the id of a tunnel")
	}
}
