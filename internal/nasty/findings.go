package nasty

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// inline are the media types of Files that a page may show.
var inline = [...]string{"image/jpeg", "image/png", "image/gif", "image/webp", "audio/mpeg"}

// NameFindings tells what is wrong with the name that a file has got.
func (f File) NameFindings(name string) (found []string) {
	if f.Fine && name != f.Name {
		found = append(found, fmt.Sprintf("it is called %q", name))
	}
	if len(name) > 200 || name == "" || strings.ContainsAny(name, "/\\\x00\r\n<>:\"|?*") || strings.ContainsFunc(name, deceives) {
		found = append(found, fmt.Sprintf("the name is %q", name))
	}
	for _, ending := range []string{".exe", ".html", ".hta", ".bat", ".url", ".svg", ".js", ".xlsm", ".mht"} {
		if strings.HasSuffix(strings.ToLower(name), ending) {
			found = append(found, "it would be opened as "+name)
		}
	}
	return found
}

// deceives reports whether a character is not seen, or turns the direction of others.
func deceives(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// Findings tells what is wrong with how a file, or its thumbnail, was served.
func (f File) Findings(h http.Header, body []byte, thumbnail bool) (found []string) {
	kind := h.Get("Content-Type")
	disposition, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	want := "attachment"
	if slices.Contains(inline[:], kind) {
		want = "inline"
	}
	if err != nil || disposition != want || params["filename"] == "" {
		found = append(found, fmt.Sprintf("disposition %s, %v", h.Get("Content-Disposition"), err))
	}
	if !thumbnail && kind != f.Kind {
		found = append(found, "served as "+kind)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox; default-src 'none'") || h.Get("Set-Cookie") != "" {
		found = append(found, fmt.Sprintf("headers %v", h))
	}
	for _, hidden := range []string{"GPS", "<script", "<?php"} {
		if strings.HasPrefix(f.Kind, "image/") && bytes.Contains(body, []byte(hidden)) {
			found = append(found, "it still has what was hidden in it: "+hidden)
		}
	}
	return found
}

// Refused reports whether a status is one of a file that is refused for good.
func Refused(status int) bool {
	return status == http.StatusForbidden || status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge
}
