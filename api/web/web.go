// Package web holds the built web files inside the binary.
package web

import (
	"embed"
	"io/fs"
)

// The folder is filled by `make web`. On a fresh clone it holds make-run.html
// only, so that the Go part builds before any npm step.
//
//go:embed all:dist
var dist embed.FS

// Files returns the web files: widget.js, tunnel.js and files.js, agent/index.html with what it
// needs beside it, and make-run.html for when those are not built yet.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path: this cannot happen
	}
	return files
}
