package parley

import (
	"bytes"
	"encoding/json"
	"io"
)

// Limits of attachments that clients go by.
const (
	MaxAttachments     = 10      // of one message
	MaxAttachmentChunk = 4 << 20 // bytes of one piece of an upload
)

// AttachmentState is where an attachment is in its life.
//
//	          complete           a message           it is durable
//	taking ────────────▶ ready ────────────▶ claimed ───────────────▶ sent
//	  │                    │  ◀─ it is refused ─┘ │                     │ deleted, cut
//	  └────────────────────┴──────────────────────┴──▶ going ◀──────────┘
//	             nobody has sent it for a day        ▶ nothing
type AttachmentState string

// The states.
const (
	AttachmentTaking  AttachmentState = "taking"  // its parts come in
	AttachmentReady   AttachmentState = "ready"   // it is complete, and no message has it
	AttachmentClaimed AttachmentState = "claimed" // a message that has it is being recorded
	AttachmentSent    AttachmentState = "sent"    // a message has it
	AttachmentGoing   AttachmentState = "going"   // its bytes are being removed, unless its message turns out to be there
)

// Attachment is a file of a conversation: what is known about it. Its bytes are
// elsewhere.
type Attachment struct {
	Site         string
	ID           string
	Conversation string
	Uploader     string // user
	State        AttachmentState
	Version      int64 // 1, 2, 3 …: a change is one of the version before
	At           int64 // server time of its beginning in Unix milliseconds
	ChangedAt    int64 // of the newest change of state

	Name  string // one line without a path, whose ending fits Type once that is known
	Size  int64  // as announced; of what is kept once it is complete
	Sum   string // SHA-256 in lower-case hex: of the upload as announced, or empty; of what is kept once it is complete
	Parts []AttachmentPart

	Type      string // media type, found from the content; empty while it is taken
	Width     int    // of a picture as it is to be shown, 0 of everything else
	Height    int
	Thumbnail bool // whether there is one

	Message string // id of the message that has it
	Note    bool   // that is an internal note
	Seq     int64  // of that message, 0 while it is not known
}

// AttachmentPart is a piece of an upload.
type AttachmentPart struct {
	Name string // of the piece, unique within the attachment
	Size int64
}

// Offset returns how many bytes have been taken.
func (a Attachment) Offset() int64 {
	var n int64
	for _, p := range a.Parts {
		n += p.Size
	}
	return n
}

// SealedBlob is behind the names of blobs whose bytes are sealed.
const SealedBlob = ".sealed"

// The names of the blobs that its bytes are in. None of them comes from a user.

// Blobs returns what the names of all its blobs begin with, up to a dot.
func (a Attachment) Blobs() string { return a.Site + "." + a.ID }

// FileBlob returns the name of the file that others get.
func (a Attachment) FileBlob() string { return a.Blobs() + ".file" }

// ThumbnailBlob returns the name of its thumbnail.
func (a Attachment) ThumbnailBlob() string { return a.Blobs() + ".thumbnail" }

// PartBlob returns the name of a piece of an upload.
func (a Attachment) PartBlob(p AttachmentPart) string { return a.Blobs() + ".part." + p.Name }

// Complete reports whether all of it is there, and was found good.
func (a Attachment) Complete() bool { return a.Type != "" }

// Stream returns the stream of the message that has it.
func (a Attachment) Stream() Stream {
	if a.Note {
		return NotesOf(a.Site, a.Conversation)
	}
	return MessagesOf(a.Site, a.Conversation)
}

// AttachmentFile is what somebody gets of an attachment. The caller closes it.
type AttachmentFile struct {
	io.ReadSeekCloser
	Name   string // for whoever saves it
	Type   string // media type
	Inline bool   // whether pages may show it; everything else is only to be saved
	Tag    string // names these very bytes
}

// Attached is what a message says of one of its attachments. Its sender gives the
// id; the server fills in all else.
type Attached struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Size      int64  `json:"size"`
	Width     int    `json:"width,omitempty"`
	Height    int    `json:"height,omitempty"`
	Thumbnail bool   `json:"thumbnail,omitempty"`
}

// Attached returns what a message says of a.
func (a Attachment) Attached() Attached {
	return Attached{ID: a.ID, Name: a.Name, Type: a.Type, Size: a.Size, Width: a.Width, Height: a.Height, Thumbnail: a.Thumbnail}
}

// AttachmentsOf returns the attachments that the canonical body of a text message
// lists: of a draft, only their ids are there. It costs next to nothing where there
// are none.
func AttachmentsOf(body json.RawMessage) []Attached {
	if !bytes.Contains(body, []byte(`,"attachments":[`)) { // inside a string the quotes are escaped
		return nil
	}
	var b TextBody
	if json.Unmarshal(body, &b) != nil {
		return nil // one bad entry must not stop its readers
	}
	return b.Attachments
}

const attachmentsShape = `attachments are a list of {"id": "att_…"}, 1 to 10 of them and each once`

// canonicalAttachments returns the list of a draft with nothing but ids, nil if
// there is none.
func canonicalAttachments(list member) ([]byte, *Error) {
	if list.twice {
		return nil, givenTwice(list)
	}
	if list.value == nil {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(list.value, &items); err != nil || len(items) == 0 || len(items) > MaxAttachments {
		return nil, Errorf(CodeInvalid, "%s", attachmentsShape)
	}
	canonical, known := []byte(`,"attachments":[`), map[string]bool{}
	for i, item := range items {
		id := member{name: "id"}
		isObject := readMembers(item, &id)
		name, _ := unquote(id.value)
		if !isObject || id.twice || !ValidID(name) || known[name] {
			return nil, Errorf(CodeInvalid, "%s", attachmentsShape)
		}
		known[name] = true
		if i > 0 {
			canonical = append(canonical, ',')
		}
		canonical = append(canonical, `{"id":"`+name+`"}`...)
	}
	return append(canonical, ']'), nil
}
