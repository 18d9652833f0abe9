package mongo

import (
	"context"
	"sync"
)

// beside is what the appender has others do while it goes on. Only done is of other
// goroutines.
type beside struct {
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{} // holds asking
	group  sync.WaitGroup
	done   chan finished // holds asked: nobody waits to put something in

	questions int // that are under way, at most asked
}

// finished is something that has been done, and what the appender does about it.
type finished struct {
	err   error
	after func(error)
}

func newBeside(ctx context.Context) beside {
	ctx, cancel := context.WithCancel(ctx)
	return beside{ctx: ctx, cancel: cancel, slots: make(chan struct{}, asking), done: make(chan finished, asked)}
}

func (b *beside) none() bool { return b.questions == 0 }

// ask starts a question. There is room for it.
func (b *beside) ask(q question, after func(error)) {
	b.questions++
	b.group.Go(func() {
		b.slots <- struct{}{}
		defer func() { <-b.slots }()
		b.done <- finished{q(b.ctx), func(err error) {
			b.questions--
			after(err)
		}}
	})
}

func (b *beside) take(f finished) { f.after(f.err) }

// takeDone takes what has been done by now.
func (b *beside) takeDone() {
	for {
		select {
		case f := <-b.done:
			b.take(f)
		default:
			return
		}
	}
}

// end breaks off what is under way, and waits for that.
func (b *beside) end() {
	b.cancel()
	b.group.Wait()
	b.takeDone()
}
