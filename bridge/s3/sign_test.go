package s3

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples of AWS's own documentation of signature version 4 for S3.
func TestSign(t *testing.T) {
	k := keys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"}
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for what, tc := range map[string]struct {
		method, path, query string
		header              map[string]string
		sum, want           string
	}{
		"get an object": {
			"GET", "/test.txt", "", map[string]string{"Range": "bytes=0-9"}, sumOf(nil),
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		"put an object": {
			"PUT", "/test$file.text", "",
			map[string]string{"Date": "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY"},
			sumOf([]byte("Welcome to Amazon S3.")), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
		"ask for a setting": {
			"GET", "/", "lifecycle=", nil, sumOf(nil),
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		"list objects": {
			"GET", "/", "max-keys=2&prefix=J", nil, sumOf(nil),
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, "https://examplebucket.s3.amazonaws.com"+tc.path+"?"+tc.query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range tc.header {
			r.Header.Set(name, value)
		}
		k.sign(r, tc.sum, now)
		if _, got, _ := strings.Cut(r.Header.Get("Authorization"), "Signature="); got != tc.want {
			t.Errorf("%s: %s, want %s", what, r.Header.Get("Authorization"), tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	for setting, want := range map[string]string{
		"s3://files":                               "https://s3.us-east-1.amazonaws.com files  us-east-1",
		"s3://files/a/b/?region=eu-west-1":         "https://s3.eu-west-1.amazonaws.com files a/b/ eu-west-1",
		"s3://files?endpoint=http://10.0.0.1:9000": "http://10.0.0.1:9000 files  us-east-1",
		"s3://files?endpoint=ftp://x":              "",
		"s3://files?endpoint=https://x/path":       "",
		"s3://id:secret@files":                     "",
		"s3://files?key=x":                         "",
		"s3://FILES":                               "",
		"s3://files/../other":                      "",
		"/folder":                                  "",
	} {
		p, err := parse(setting)
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := p.endpoint.String() + " " + p.bucket + " " + p.prefix + " " + p.region; got != want {
			t.Errorf("%s: %q, want %q", setting, got, want)
		}
	}
}
