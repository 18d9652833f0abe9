package api_test

import (
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/nasty"
)

// held returns how much memory Go holds of the system, in bytes.
func held() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// Pictures that unpack to as much as is allowed, several at once, need no more than
// 256 MiB.
func TestMemoryOfUploads(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	large := nasty.Large().Data
	debug.FreeOSMemory()
	before, most := held(), uint64(0)
	stop := make(chan struct{})
	var watching, uploading sync.WaitGroup
	watching.Go(func() {
		for tick := time.Tick(2 * time.Millisecond); ; {
			most = max(most, held())
			select {
			case <-stop:
				return
			case <-tick:
			}
		}
	})
	for range 3 {
		uploading.Go(func() {
			id, last := f.upload(t, conversation, "a.png", large)
			for n := 0; last.status == http.StatusServiceUnavailable && n < 5; n++ { // a busy machine: again, as clients do
				last = f.post(t, f.visitor, "/v1/attachments/"+id+"/complete", nil)
			}
			if last.status != http.StatusOK {
				t.Errorf("%d %s", last.status, last.body)
			}
		})
	}
	uploading.Wait()
	close(stop)
	watching.Wait()
	t.Logf("%d MiB more than before", (most-before)>>20)
	if most-before > 256<<20 {
		t.Errorf("%d MiB more than before", (most-before)>>20)
	}
}
