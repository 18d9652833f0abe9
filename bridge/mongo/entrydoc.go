package mongo

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/parley-chat/parley"
)

// entryDoc is an entry as it is stored. Body and digest are binary: they come
// back byte for byte.
type entryDoc struct {
	ID       bson.ObjectID `bson:"_id"` // tells this insert from another of the same entry
	Stream   string        `bson:"stream"`
	Seq      int64         `bson:"seq"`
	Name     string        `bson:"id"` // Entry.ID, made by the sender
	Sender   string        `bson:"sender"`
	Device   string        `bson:"device,omitempty"`
	Role     string        `bson:"role"`
	Type     string        `bson:"type"`
	Body     []byte        `bson:"body"`
	At       int64         `bson:"at"`
	Count    int64         `bson:"count"`
	Control  int64         `bson:"control"` // seq of the newest control entry up to this one: the newest document is the head
	Target   int64         `bson:"target,omitempty"`
	Digest   []byte        `bson:"digest"`
	Redacted bool          `bson:"redacted,omitempty"`
}

// docOf returns the document of e, which has its place.
func docOf(e *parley.Entry, control int64) *entryDoc {
	target, _ := e.Target()
	return &entryDoc{
		ID: bson.NewObjectID(), Stream: string(e.Stream), Seq: e.Seq, Name: e.ID, Sender: e.Sender, Device: e.Device,
		Role: string(e.Role), Type: string(e.Type), Body: e.Body, At: e.At, Count: e.Count, Control: control,
		Target: target, Digest: e.Digest,
	}
}

func (d *entryDoc) entry() parley.Entry {
	return parley.Entry{
		Stream: parley.Stream(d.Stream), Seq: d.Seq, ID: d.Name, Sender: d.Sender, Device: d.Device,
		Role: parley.Role(d.Role), Type: parley.EntryType(d.Type), Body: d.Body, At: d.At, Count: d.Count,
		Digest: d.Digest, Redacted: d.Redacted,
	}
}

func (d *entryDoc) size() int {
	return 256 + len(d.Stream) + len(d.Name) + len(d.Sender) + len(d.Device) + len(d.Body) + len(d.Digest)
}

// checkDense returns an error unless entries go first, first+1, first+2 …
func checkDense(docs []entryDoc, first int64) error {
	for i := range docs {
		if want := first + int64(i); docs[i].Seq != want {
			return fmt.Errorf("%w: %s has entry %d where %d should be; restore the newest backup", errDamaged, docs[i].Stream, docs[i].Seq, want)
		}
	}
	return nil
}

func field(key string, value any) bson.E { return bson.E{Key: key, Value: value} }

func set(fields ...bson.E) bson.D { return bson.D{{Key: "$set", Value: bson.D(fields)}} }
