package backup

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strings"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// blob is one whose pieces are being read. The zero value is none.
type blob struct {
	begun bool // there have been blobs
	name  string
	size  int64
	at    int64
	sum   hash.Hash
}

// takePiece proves that a piece continues what is before it.
func (b *Reader) takePiece(payload []byte) (*item, error) {
	text, data, ok := bytes.Cut(payload, []byte("\n"))
	var line blobLine
	if !ok || json.Unmarshal(text, &line) != nil || len(data) > pieceBytes {
		return nil, b.damaged("a piece of a file does not decode")
	}
	if b.blob.name == "" {
		b.blob = blob{begun: true, name: line.Name, size: line.Size, sum: sha256.New()}
	}
	if attachmentOf(line.Name) == "" || line.Name != b.blob.name || line.Size != b.blob.size || line.At != b.blob.at {
		return nil, b.damaged("a piece of a file is not in its order")
	}
	_, _ = b.blob.sum.Write(data) // never fails
	b.blob.at += int64(len(data))
	switch {
	case line.Lost:
		b.counts.Lost++
		b.blob.name = ""
	case line.Last:
		sum, err := hex.DecodeString(line.SHA256)
		if err != nil || b.blob.at != line.Size || subtle.ConstantTimeCompare(sum, b.blob.sum.Sum(nil)) != 1 {
			return nil, b.damaged("a file is not what its hash says")
		}
		b.counts.Blobs++
		b.counts.BlobBytes += line.Size
		b.blob.name = ""
	case len(data) == 0 || b.blob.at >= line.Size:
		return nil, b.damaged("a piece of a file is not in its order")
	}
	return &item{itemBlob, text, data}, nil
}

// attachmentOf returns the key of the attachment that a blob belongs to, empty if it is
// none that a backup has.
func attachmentOf(name string) string {
	parts := strings.Split(strings.TrimSuffix(name, parley.SealedBlob), ".")
	if len(parts) != 3 || !parley.ValidID(parts[0]) || !parley.ValidID(parts[1]) {
		return ""
	}
	a := parley.Attachment{Site: parts[0], ID: parts[1]}
	if whole := strings.Join(parts, "."); whole != a.FileBlob() && whole != a.ThumbnailBlob() {
		return ""
	}
	return bridge.RowKey(a.Site, a.ID)
}

// claim is how a message is named in the row of an attachment.
type claim struct {
	stream     parley.Stream
	sender, id string
}

// takeAttachment looks at the row of one.
func (c *checker) takeAttachment(key string, value []byte) error {
	var a parley.Attachment
	if json.Unmarshal(value, &a) != nil || !parley.ValidID(a.Site) || !parley.ValidID(a.ID) || key != bridge.RowKey(a.Site, a.ID) {
		return c.b.damaged("a row does not decode")
	}
	c.attachments[hashOf(key)] = struct{}{}
	switch {
	case a.Message == "":
	case c.tombs.messages[a.Stream()][messageName{a.Uploader, a.Message}]:
		c.gone.claims[key] = true
	case a.Seq == 0:
		c.claims[claim{a.Stream(), a.Uploader, a.Message}] = key
	}
	return nil
}

// takeBlob looks at a piece of a blob, which the reader has proven.
func (c *checker) takeBlob(it item) error {
	if err := c.streamEnds(); err != nil {
		return err
	}
	var line blobLine
	if json.Unmarshal(it.line, &line) != nil {
		return c.b.damaged("a piece of a file does not decode")
	}
	if _, ok := c.attachments[hashOf(attachmentOf(line.Name))]; !ok {
		return c.b.damaged("there is a file of which nothing is known")
	}
	return nil
}

// leavesOut reports whether a row is that of an attachment whose message is gone.
func (g *Gone) leavesOut(row *bridge.Row) (bool, error) {
	if row.Kind != bridge.RowAttachment || len(g.bodies)+len(g.firsts)+len(g.claims) == 0 {
		return false, nil
	}
	var a parley.Attachment
	if err := json.Unmarshal(row.Value, &a); err != nil {
		return false, err
	}
	stream := a.Stream()
	return g.claims[row.Key] || a.Message != "" && a.Seq > 0 && (g.bodies[stream][a.Seq] || a.Seq < g.firsts[stream]), nil
}
