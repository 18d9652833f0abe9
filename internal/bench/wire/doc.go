// Package wire drives thousands of raw MQTT 3.1.1 connections from one
// goroutine: pre-encoded packets out, as little decoding as possible in. It
// exists because the load shares the processor with the server that it
// measures. It is built on epoll, so there is nothing of it but on Linux.
package wire
