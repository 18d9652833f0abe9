// Package clock is the time of day as the server takes it. A server built for the
// fault harness can be given a wrong one; otherwise it is time.Now.
package clock
