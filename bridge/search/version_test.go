package search_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/parley-chat/parley/bridge/search"
	"github.com/parley-chat/parley/internal/corpus"
)

// An index that lies on somebody's disk was made by the functions of its Version:
// when these return something else, Version is raised, and then the sum here
// changed.
func TestVersionIsThatOfTheTokens(t *testing.T) {
	sum := fnv.New64a()
	c := corpus.New(3)
	for i := range 5000 {
		fmt.Fprintf(sum, "%q", search.Tokens(c.Message(i).Text))
	}
	got := fmt.Sprintf("version %d: %#x", search.Version, sum.Sum64())
	if want := "version 2: 0xd3406dcb15eca2b3"; got != want {
		t.Errorf("tokens are of %s, known is %s", got, want)
	}
}
