package parley

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// MaxIDLength is the longest identifier accepted anywhere, in bytes.
const MaxIDLength = 64

// Prefixes of the identifiers that Parley makes. An identifier's prefix is for
// people who read logs; no code decides anything by it.
const (
	PrefixSite         = "ste_"
	PrefixVisitor      = "vis_"
	PrefixAgent        = "agt_"
	PrefixDevice       = "dev_"
	PrefixConversation = "cnv_"
	PrefixMessage      = "msg_"
	PrefixEpoch        = "epo_"
	PrefixAttachment   = "att_"
)

// Message identifiers are made by the sender, so their length has a floor: a
// shorter one would collide by accident.
const (
	MinMessageIDLength = 8
	MaxMessageIDLength = 64
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID returns prefix followed by 128 random bits in lower-case base32.
func NewID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return prefix + idEncoding.EncodeToString(b[:])
}

// ValidID reports whether s may name a site, user, device or conversation:
// 1 to 64 characters of A–Z, a–z, 0–9, '-' and '_'. In particular it holds no
// dot, slash, plus, hash or dollar, so it is safe in topics, client
// identifiers, URLs and file names.
func ValidID(s string) bool {
	return len(s) >= 1 && len(s) <= MaxIDLength && urlSafe(s)
}

// ValidMessageID reports whether s may identify a message: 8 to 64 characters
// of the alphabet of ValidID.
func ValidMessageID(s string) bool {
	return len(s) >= MinMessageIDLength && len(s) <= MaxMessageIDLength && urlSafe(s)
}

func urlSafe(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}
