package fault

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/internal/fault/device"
	"github.com/parley-chat/parley/internal/fault/server"
)

// absentee is a device of another agent that is away while the clock jumps and somebody
// opens a conversation, which it has to find when it comes back.
type absentee struct {
	*jumper
	sometimes
	known *device.Publisher // who writes in what it knew before
}

func (j *jumper) absentee(ctx context.Context) (*absentee, error) {
	agent, err := j.rest.Agent(ctx, server.Site, server.SecondEmail, server.Password)
	if err != nil {
		return nil, err
	}
	a := &absentee{jumper: j, sometimes: sometimes{Subscriber: device.NewSubscriberOf(device.Raw5, j.endpoint(), agent, 100), world: j.world}}
	a.sometimes.start(ctx)
	err = await(ctx, setupTimeout, func() string {
		select {
		case <-a.Subscriber.Subscribed():
			return ""
		default:
			return fmt.Sprintf("a device is not subscribed: %v", a.Subscriber.Err())
		}
	})
	if err != nil {
		return nil, err
	}
	if a.known, err = a.customer(ctx); err != nil {
		return nil, err
	}
	err = a.expect(ctx, a.known)
	a.sometimes.stop()
	j.readers = append(j.readers, a.Subscriber)
	return a, err
}

// customer is a new visitor for whom the device's agent answers.
func (a *absentee) customer(ctx context.Context) (*device.Publisher, error) {
	p, err := a.jumper.visitor(ctx, device.Raw5, a.endpoint(), 20)
	if err != nil {
		return nil, err
	}
	a.Subscriber.Follow(p.Conversation, 0)
	return p, a.rest.Claim(ctx, a.Subscriber.Session, p.Conversation)
}

// expect waits until the device shows a customer's conversation from the beginning:
// that it was opened, what was said, and whose it is.
func (a *absentee) expect(ctx context.Context, p *device.Publisher) error {
	return await(ctx, roundTimeout, func() string {
		if a.Subscriber.Shown(p.Conversation) < 3 {
			return fmt.Sprintf("a device that was away does not know a new conversation: %v", a.Subscriber.Err())
		}
		return ""
	})
}

// back lets the device come back after more was said and a new customer has come.
func (a *absentee) back(ctx context.Context) error {
	a.known.Send("are you still there?")
	p, err := a.customer(ctx)
	if err != nil {
		return err
	}
	a.sometimes.start(ctx)
	return a.expect(ctx, p)
}
