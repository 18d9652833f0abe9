// Package parley holds the vocabulary of Parley, customer messaging that does
// not lose a message: conversations, messages, streams, identities, topics and
// errors. It imports the standard library only and does no input or output;
// every other room of the project speaks in these words.
package parley
