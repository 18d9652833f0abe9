package s3

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// place is where blobs are: a bucket at a server, and what the names of ours begin with.
type place struct {
	endpoint *url.URL // scheme and host
	bucket   string
	prefix   string // empty, or with a slash at its end
	region   string
}

// Is reports whether a setting names a place in S3.
func Is(setting string) bool { return strings.HasPrefix(setting, "s3://") }

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixForm = regexp.MustCompile(`^[A-Za-z0-9._/-]{0,200}$`)
)

// parse reads s3://BUCKET/PREFIX?endpoint=URL&region=NAME.
func parse(setting string) (p place, err error) {
	u, err := url.Parse(setting)
	if err != nil || u.Scheme != "s3" || u.User != nil || u.Fragment != "" {
		return p, errors.New("a place in S3 is s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME, and keys are settings of their own")
	}
	q := u.Query()
	for name := range q {
		if name != "endpoint" && name != "region" {
			return p, fmt.Errorf("a place in S3 has endpoint and region, no %q", name)
		}
	}
	p = place{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), region: q.Get("region")}
	if !bucketForm.MatchString(p.bucket) || !prefixForm.MatchString(p.prefix) || strings.Contains(p.prefix, "..") {
		return p, errors.New("the name of the bucket, or what stands behind it, is not one we can use")
	}
	if p.prefix != "" {
		p.prefix += "/"
	}
	if p.region == "" {
		p.region = "us-east-1"
	}
	endpoint := q.Get("endpoint")
	if endpoint == "" {
		endpoint = "https://s3." + p.region + ".amazonaws.com"
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" || e.User != nil {
		return p, errors.New("the endpoint is https://HOST or http://HOST:PORT")
	}
	p.endpoint = &url.URL{Scheme: e.Scheme, Host: e.Host}
	return p, nil
}
