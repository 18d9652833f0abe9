package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
)

// TestNodeCannotWriteFiles starts a server on a folder that nobody writes to.
func TestNodeCannotWriteFiles(t *testing.T) {
	c := testConfig(t)
	c.Attachments = "/sys/parley"
	n, err := openNode(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = n.close(context.WithoutCancel(t.Context()))
		t.Fatal("it starts, and would refuse every file")
	}
	if text := err.Error(); !strings.Contains(text, "PARLEY_ATTACHMENTS: /sys/parley cannot be written") || !strings.Contains(text, "PARLEY_ATTACHMENTS=off") {
		t.Error(err)
	}
}
