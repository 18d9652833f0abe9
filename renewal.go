package parley

import "encoding/json"

// MaxRenewalBytes bounds the payload that brings a renewed token.
const MaxRenewalBytes = 16 << 10

// DecodeRenewal reads a renewed token from a payload: an object with token. It
// fails with CodeInvalid. Whether the token is good is for others to say.
func DecodeRenewal(payload []byte) (token string, err error) {
	given := member{name: "token"}
	if len(payload) > MaxRenewalBytes || !json.Valid(payload) || !readMembers(payload, &given) {
		return "", Errorf(CodeInvalid, `the payload is {"token": "…"}, of at most %d bytes`, MaxRenewalBytes)
	}
	if given.twice {
		return "", givenTwice(given)
	}
	if err := checkCharacters(payload); err != nil {
		return "", err
	}
	if token, _ = unquote(given.value); token == "" {
		return "", Errorf(CodeInvalid, "token is missing, or is not a string")
	}
	return token, nil
}
