package mongo

import "context"

// WithSteps is o for a Parley whose schema takes these steps from the first one.
func (o Options) WithSteps(steps ...func(ctx context.Context) error) Options {
	o.steps = []migration{}
	for _, step := range steps {
		o.steps = append(o.steps, func(ctx context.Context, _ *Store) error { return step(ctx) })
	}
	return o
}
