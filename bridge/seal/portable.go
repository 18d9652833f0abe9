package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// Sealing returns p, the store behind s, as it would be if everything of its sealed sites
// had been written sealed. What it returns is the same every time, so that it can be
// copied, in parts, and compared.
func (s *Store) Sealing(p bridge.Portable) bridge.Portable { return sealing{p, s} }

type sealing struct {
	bridge.Portable
	seal *Store
}

// Read reads entries; see bridge.Portable.
func (p sealing) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := p.Portable.Read(ctx, stream, after, limit)
	k := p.seal.site(stream.Site())
	if k == nil {
		return entries, err
	}
	all := make([]parley.Entry, len(entries))
	for i := range entries {
		all[i] = entries[i]
		if _, hidden := k.blind.show(all[i].Digest, digestPlace(stream, &all[i])); !hidden { // written before the site was sealed
			all[i] = k.seal(stream, all[i], k.newest.repeatable)
		}
	}
	return all, err
}

// Rows returns rows of a kind; see bridge.Portable.
func (p sealing) Rows(ctx context.Context, kind bridge.RowKind, after string, limit int) ([]bridge.Row, error) {
	rows, err := p.Portable.Rows(ctx, kind, after, limit)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		switch kind {
		case bridge.RowConversation:
			err = resealed(&rows[i], func(c *parley.Conversation) {
				if k := p.seal.site(siteOfRow(c.Site)); k != nil {
					*c = p.seal.openRow(*c)
					k.sealRow(c, k.newest.repeatable)
				}
			})
		case bridge.RowRegister:
			err = resealed(&rows[i], func(r *bridge.UserRegister) {
				if k := p.seal.site(r.Site); k != nil && !isSealed(r.Value) {
					k.sealRegister(r, k.newest.repeatable)
				}
			})
		case bridge.RowAttachment:
			err = resealed(&rows[i], func(a *parley.Attachment) {
				if k := p.seal.site(a.Site); k != nil && !isSealed([]byte(a.Name)) {
					k.sealAttachment(a, k.newest.repeatable)
				}
			})
		}
		if err != nil {
			return nil, fmt.Errorf("seal a row of %s: %w", kind, err)
		}
	}
	return rows, nil
}

// resealed changes what a row is the JSON of.
func resealed[T any](row *bridge.Row, change func(*T)) error {
	var v T
	if json.Unmarshal(row.Value, &v) != nil {
		return errors.New("it does not decode") // the error may quote what somebody wrote
	}
	change(&v)
	var err error
	row.Value, err = parley.EncodeBody(v)
	return err
}
