package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/parley-chat/parley/bridge/mongo/wire"
)

// turn puts the database into a mood:
//
//	fine          everything passes
//	refuse        connections are reset, new ones refused
//	reset         every command's connection is reset, by turns before and after it is carried out
//	no-primary    the set has no primary (needs --set)
//	slow 2s       every command takes so much longer
//	hang          nothing is answered, not even hello; by turns it is carried out or not
//	stumble 0.1   so many writes in one go wrong, in every way there is
func turn(p *wire.Proxy, mood string) error {
	word, amount, _ := strings.Cut(strings.TrimSpace(mood), " ")
	decide, err := moodOf(word, amount)
	if err != nil {
		return err
	}
	p.Primary(word != "no-primary")
	p.Break(decide)
	if word == "refuse" {
		p.Down()
		return nil
	}
	if err := p.Up(); err != nil {
		return err
	}
	if word == "no-primary" {
		p.Cut() // an election ends connections
	}
	return nil
}

func moodOf(word, amount string) (func(wire.Command) wire.Fault, error) {
	switch word {
	case "fine", "refuse", "no-primary":
		return nil, nil
	case "reset":
		return func(c wire.Command) wire.Fault { return wire.Reset(byTurns(c)) }, nil
	case "hang":
		return func(c wire.Command) wire.Fault { return wire.Hang(byTurns(c)) }, nil
	case "slow":
		d, err := time.ParseDuration(amount)
		if err != nil {
			return nil, fmt.Errorf("slow by how much: %w", err)
		}
		return func(c wire.Command) wire.Fault { return wire.Delay(d, byTurns(c)) }, nil
	case "stumble":
		return stumble(amount)
	default:
		return nil, fmt.Errorf("unknown mood %q", word)
	}
}

// byTurns is Before for the first command of a name, After for the second, and so on.
func byTurns(c wire.Command) wire.When {
	if c.Nth%2 == 0 {
		return wire.After
	}
	return wire.Before
}
