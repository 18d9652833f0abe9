package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// What is sealed takes the place of a JSON value, so that a store need not know of it:
//
//	{"sealed":"…"}            base64 of: version, number of the data key, nonce, ciphertext, tag
//	{"seq":7,"sealed":"…"}    of an edit: which message it is about stays readable
const (
	sealedName    = `"sealed":"`
	targetName    = `{"seq":`
	envelopeBegin = "{" + sealedName
	envelopeEnd   = `"}`
	version       = 1
)

// about joins what a ciphertext belongs to, so that no two different lists give the
// same: it is the associated data of AES-GCM.
func about(parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p) + binary.MaxVarintLen16
	}
	joined := make([]byte, 0, n)
	for _, p := range parts {
		joined = binary.AppendUvarint(joined, uint64(len(p)))
		joined = append(joined, p...)
	}
	return joined
}

// envelope is the JSON form of a ciphertext under a data key. target is that of an edit,
// 0 for everything else.
func envelope(number uint64, target int64, ciphertext []byte) []byte {
	raw := make([]byte, 0, len(ciphertext)+1+binary.MaxVarintLen64)
	raw = binary.AppendUvarint(append(raw, version), number)
	raw = append(raw, ciphertext...)
	json := make([]byte, 0, base64.RawStdEncoding.EncodedLen(len(raw))+len(envelopeBegin)+len(envelopeEnd)+24)
	if target > 0 {
		json = append(strconv.AppendInt(append(json, targetName...), target, 10), ","+sealedName...)
	} else {
		json = append(json, envelopeBegin...)
	}
	return append(base64.RawStdEncoding.AppendEncode(json, raw), envelopeEnd...)
}

// numberOf returns the number of the data key of a ciphertext without reading the rest.
func numberOf(json []byte) (number uint64, ok bool) {
	_, text, found := bytes.Cut(json, []byte(sealedName))
	const enough = 16 // characters: 12 bytes, of which the version takes one
	if !found || len(text) < enough || !isSealed(json) {
		return 0, false
	}
	var raw [12]byte
	if _, err := base64.RawStdEncoding.Decode(raw[:], text[:enough]); err != nil || raw[0] != version {
		return 0, false
	}
	number, n := binary.Uvarint(raw[1:])
	return number, n > 0
}

// letter is an envelope that was opened.
type letter struct {
	number     uint64
	target     int64
	ciphertext []byte
}

// isSealed reports whether a JSON value is, or was once, an envelope. Nobody else makes
// bodies that begin so.
func isSealed(json []byte) bool {
	if bytes.HasPrefix(json, []byte(envelopeBegin)) {
		return true
	}
	rest, ok := bytes.CutPrefix(json, []byte(targetName))
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, "0123456789"), []byte(","+sealedName))
}

// unfold reads an envelope.
func unfold(json []byte) (l letter, err error) {
	if rest, ok := bytes.CutPrefix(json, []byte(targetName)); ok {
		digits, tail, _ := bytes.Cut(rest, []byte(","))
		if l.target, err = strconv.ParseInt(string(digits), 10, 64); err != nil {
			return letter{}, errCiphertext
		}
		json = append([]byte("{"), tail...)
	}
	text, begins := bytes.CutPrefix(json, []byte(envelopeBegin))
	text, ends := bytes.CutSuffix(text, []byte(envelopeEnd))
	raw, err := base64.RawStdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || !begins || !ends || len(raw) == 0 || raw[0] != version {
		return letter{}, errCiphertext
	}
	number, n := binary.Uvarint(raw[1:])
	if n <= 0 {
		return letter{}, errCiphertext
	}
	l.number, l.ciphertext = number, raw[1+n:]
	return l, nil
}
