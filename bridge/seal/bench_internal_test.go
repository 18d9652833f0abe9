package seal

import (
	"testing"

	"github.com/parley-chat/parley"
)

// BenchmarkEntry measures one entry, without a store.
func BenchmarkEntry(b *testing.B) {
	r := newRing()
	r.add("ste_a", newDataKey(1, "k", nil))
	k := r.sites["ste_a"]
	e := parley.Entry{
		Stream: "ste_a/c/cnv_1/messages", ID: "msg_00001", Sender: "vis_1", Type: parley.EntryText,
		Body: parley.NewText("", "Where is my parcel? It should have come on Tuesday.").Body, Digest: make([]byte, 16),
	}
	sealed := k.seal(e.Stream, e, nil)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.seal(e.Stream, e, nil)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.open(&sealed); err != nil {
				b.Fatal(err)
			}
			k.blind.show(sealed.Digest, digestPlace(e.Stream, &sealed))
		}
	})
	b.Run("token", func(b *testing.B) {
		for b.Loop() {
			k.blind.token("parcel")
		}
	})
}
