package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// mishaps are what can happen to a write at any time. Hanging is left out: it is slow,
// and has a mood of its own.
func mishaps(c wire.Command) []wire.Fault {
	var all []wire.Fault
	for _, when := range []wire.When{wire.Before, wire.After} {
		all = append(all,
			wire.Code(wire.NotPrimary, when), wire.Code(wire.SteppedDown, when), wire.Code(wire.ShuttingDown, when),
			wire.Reset(when), wire.CutInside(when))
	}
	all = append(all, wire.ConcernTimeout())
	if c.Documents > 0 {
		all = append(all, wire.Refuse(rand.IntN(c.Documents), wire.IllegalOperation, wire.Before))
	}
	return all
}

// stumble makes a part of all writes go wrong.
func stumble(amount string) (func(wire.Command) wire.Fault, error) {
	part, err := strconv.ParseFloat(amount, 64)
	if err != nil {
		return nil, fmt.Errorf("stumble how often: %w", err)
	}
	return func(c wire.Command) wire.Fault {
		if (c.Documents == 0 && c.Name != "findAndModify") || rand.Float64() >= part {
			return wire.Fault{}
		}
		all := mishaps(c)
		return all[rand.IntN(len(all))]
	}, nil
}
