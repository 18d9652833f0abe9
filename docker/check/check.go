// Package check reads the files that Parley is installed with as the tools do that they
// are for, and runs the binary as a container would where no container engine is at hand.
// It is tests only, and a module of its own, so that those tools stay out of Parley's.
package check
