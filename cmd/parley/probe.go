//go:build !fault

package main

// probeStore is whether a server that may lose updates is refused at the start.
const probeStore = true
