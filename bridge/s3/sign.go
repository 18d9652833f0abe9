package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// keys are who asks, and where.
type keys struct {
	id, secret, region string
}

const (
	algorithm = "AWS4-HMAC-SHA256"
	dateForm  = "20060102T150405Z"
)

// sign puts the signature of AWS's version 4 on a request, over all headers that it has
// by then. sum is the SHA-256 of its body in lower-case hex.
func (k keys) sign(r *http.Request, sum string, now time.Time) {
	date := now.UTC().Format(dateForm)
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("X-Amz-Content-Sha256", sum)
	headers := map[string]string{"host": r.URL.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.TrimSpace(strings.Join(values, ","))
	}
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	var canonical strings.Builder
	for _, part := range []string{r.Method, escape(r.URL.Path, "/"), query(r.URL.Query())} {
		canonical.WriteString(part + "\n")
	}
	for _, name := range names {
		canonical.WriteString(name + ":" + headers[name] + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + sum)

	scope := date[:8] + "/" + k.region + "/s3/aws4_request"
	text := strings.Join([]string{algorithm, date, scope, sumOf([]byte(canonical.String()))}, "\n")
	key := []byte("AWS4" + k.secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	r.Header.Set("Authorization", algorithm+" Credential="+k.id+"/"+scope+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// query is in the form that is signed, which is also a good one to send.
func query(q url.Values) string {
	var parts []string
	for name, values := range q {
		for _, value := range values {
			parts = append(parts, escape(name, "")+"="+escape(value, ""))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// escape leaves letters, digits, - . _ ~ and what is in also.
func escape(text, also string) string {
	const plain, hexes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(plain+also, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexes[c>>4], hexes[c&15]})
	}
	return b.String()
}
