//go:build !fault && linux

package main

import "github.com/spf13/cobra"

func faultTools() []*cobra.Command { return nil }
