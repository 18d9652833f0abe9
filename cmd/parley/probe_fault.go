//go:build fault

package main

// probeStore: the harness uses an embedded server for tests, which loses some.
const probeStore = false
