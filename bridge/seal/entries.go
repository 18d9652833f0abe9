package seal

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/parley-chat/parley"
)

// placeOf is what the body of an entry belongs to.
func placeOf(stream parley.Stream, e *parley.Entry, target int64) []byte {
	return about("entry", string(stream), e.Sender, e.ID, string(e.Type), strconv.FormatInt(target, 10))
}

// digestPlace is what the digest of an entry belongs to.
func digestPlace(stream parley.Stream, e *parley.Entry) []byte {
	return about("digest", string(stream), e.Sender, e.ID)
}

// seal returns e as it is stored. A delete says only which message is gone, which the
// store has to know.
func (k *site) seal(stream parley.Stream, e parley.Entry, n nonce) parley.Entry {
	e.Digest = k.blind.hide(e.Digest, digestPlace(stream, &e))
	if e.Type == parley.EntryDelete || e.Redacted {
		return e
	}
	target, _ := e.Target()
	e.Body = envelope(k.newest.number, target, sealAs(k.newest.entries, n, e.Body, placeOf(stream, &e, target)))
	return e
}

// open returns the body of an entry as it was written.
func (k *site) open(e *parley.Entry) ([]byte, error) {
	l, err := unfold(e.Body)
	if err != nil {
		return nil, err
	}
	key, err := k.key(l.number)
	if err != nil {
		return nil, err
	}
	return key.entries.open(nil, l.ciphertext, placeOf(e.Stream, e, l.target))
}

var errNoDataKey = errors.New("its data key is not in the store")

// key returns a data key. k may be nil.
func (k *site) key(number uint64) (*dataKey, error) {
	if k == nil || k.keys[number] == nil {
		return nil, errNoDataKey
	}
	return k.keys[number], nil
}

// read opens an entry in place.
func (s *Store) read(e *parley.Entry) { s.openEntry(s.knowing(e.Stream.Site(), e.Body), e) }

// take is read for those who follow the store: they must not ask it. Mostly the entry is
// being stored by this process.
func (s *Store) take(e *parley.Entry) {
	plain, ok := s.inFlight(e)
	if !ok {
		s.openEntry(s.site(e.Stream.Site()), e)
		return
	}
	e.Body, e.Digest = plain.body, plain.digest
}

// openEntry opens an entry in place. One that cannot be opened is read as if it had been
// deleted, but without a body: nobody who folds takes anything from it. k may be nil.
func (s *Store) openEntry(k *site, e *parley.Entry) {
	hidden := false
	if k != nil {
		var digest []byte
		if digest, hidden = k.blind.show(e.Digest, digestPlace(e.Stream, e)); hidden {
			e.Digest = digest
		}
	}
	if e.Redacted || e.Type == parley.EntryDelete || !isSealed(e.Body) && !hidden { // written before the site was sealed
		return
	}
	body, err := k.open(e)
	if err != nil {
		s.damage("an entry", err, "stream", e.Stream, "seq", e.Seq)
		body, e.Redacted = nil, true
	}
	e.Body = body
}

// plain is what was written, of an entry that is being stored.
type plain struct{ body, digest []byte }

// fly remembers an entry until it has landed: those who follow the store get to know it
// meanwhile, one after the other, and it need not be opened for them. land forgets it.
func (s *Store) fly(sealed, e *parley.Entry) {
	if isSealed(sealed.Body) {
		s.flying.Store(&sealed.Body[0], plain{e.Body, e.Digest})
	}
}

func (s *Store) land(sealed []parley.Entry) {
	for i := range sealed {
		if isSealed(sealed[i].Body) {
			s.flying.Delete(&sealed[i].Body[0])
		}
	}
}

// inFlight returns an entry that is being stored, if this is its very memory.
func (s *Store) inFlight(e *parley.Entry) (p plain, ok bool) {
	if len(e.Body) == 0 {
		return plain{}, false
	}
	found, ok := s.flying.Load(&e.Body[0])
	if ok {
		p = found.(plain)
	}
	return p, ok
}

// readAll returns entries as they were written. Those that it is given may be shared:
// they stay as they are. open is read or take.
func (s *Store) readAll(entries []parley.Entry, open func(*parley.Entry)) []parley.Entry {
	if len(s.ring.Load().sites) == 0 && !anySealed(entries) {
		return entries
	}
	opened := make([]parley.Entry, len(entries))
	for i := range entries {
		opened[i] = entries[i]
		open(&opened[i])
	}
	return opened
}

func anySealed(entries []parley.Entry) bool {
	for i := range entries {
		if isSealed(entries[i].Body) {
			return true
		}
	}
	return false
}

// Append seals entries and appends them; see bridge.Store.
func (s *Store) Append(ctx context.Context, stream parley.Stream, entries []parley.Entry, expect int64) ([]parley.Appended, error) {
	k, err := s.writing(ctx, stream.Site())
	if err != nil {
		return nil, err
	}
	if k == nil {
		return s.inner.Append(ctx, stream, entries, expect)
	}
	sealed := make([]parley.Entry, len(entries))
	for i := range entries {
		sealed[i] = k.seal(stream, entries[i], nil)
		s.fly(&sealed[i], &entries[i])
	}
	defer s.land(sealed)
	answers, err := s.inner.Append(ctx, stream, sealed, expect)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		a := &answers[i]
		if a.Err != nil && parley.ErrorOf(a.Err).Code == parley.CodeConflict {
			if *a, err = s.repeated(ctx, stream, sealed[i], entries[i], *a); err != nil {
				return nil, err
			}
		}
		switch {
		case a.Err != nil:
		case a.Duplicate:
			s.read(&a.Entry)
		default:
			s.sealed.Add(1)
			a.Entry.Body, a.Entry.Digest = entries[i].Body, entries[i].Digest
		}
	}
	return answers, nil
}

// repeated asks again about an entry that was refused as another one with the same id.
// It is a repeat if it was stored before its site was sealed: then its digest is not
// hidden. Nothing is stored by that: there is such an id, or what the entry is about was
// deleted, for ever.
func (s *Store) repeated(ctx context.Context, stream parley.Stream, sealed, plain parley.Entry, was parley.Appended) (parley.Appended, error) {
	sealed.Digest = plain.Digest
	again, err := s.inner.Append(ctx, stream, []parley.Entry{sealed}, parley.ExpectAny)
	if err != nil {
		return parley.Appended{}, err
	}
	if again[0].Err != nil {
		return was, nil
	}
	return again[0], nil
}

// Read reads entries; see bridge.Store.
func (s *Store) Read(ctx context.Context, stream parley.Stream, after int64, limit int) ([]parley.Entry, error) {
	entries, err := s.inner.Read(ctx, stream, after, limit)
	return s.readAll(entries, s.read), err
}

// ReadBefore reads entries; see bridge.Store.
func (s *Store) ReadBefore(ctx context.Context, stream parley.Stream, before int64, limit int) ([]parley.Entry, error) {
	entries, err := s.inner.ReadBefore(ctx, stream, before, limit)
	return s.readAll(entries, s.read), err
}

// EntriesSince reads entries of all streams; see bridge.Store. Data keys are not among
// them.
func (s *Store) EntriesSince(ctx context.Context, at int64, after *parley.Entry, limit int) ([]parley.Entry, error) {
	var all []parley.Entry
	for {
		want := limit - len(all)
		page, err := s.inner.EntriesSince(ctx, at, after, want)
		if err != nil {
			return nil, err
		}
		if all = append(all, withoutKeys(page)...); len(page) < want || len(all) >= limit {
			return s.readAll(all, s.read), nil
		}
		after = &page[len(page)-1]
	}
}

// withoutKeys returns the entries that are not data keys. What it is given stays as it is.
func withoutKeys(entries []parley.Entry) []parley.Entry {
	isKey := func(e parley.Entry) bool { return e.Stream == keysStream }
	if !slices.ContainsFunc(entries, isKey) {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), isKey)
}

// Amendments returns what became of messages; see bridge.Store. An edit that cannot be
// opened is none, as one that is redacted.
func (s *Store) Amendments(ctx context.Context, stream parley.Stream, from, to, head int64) ([]parley.Entry, error) {
	found, err := s.inner.Amendments(ctx, stream, from, to, head)
	opened := s.readAll(found, s.read)
	redacted := func(e parley.Entry) bool { return e.Redacted }
	if slices.ContainsFunc(opened, redacted) {
		opened = slices.DeleteFunc(slices.Clone(opened), redacted)
	}
	return opened, err
}

// Watch makes fn learn of new durable entries; see bridge.Store.
func (s *Store) Watch(fn func(entries []parley.Entry)) {
	s.inner.Watch(func(entries []parley.Entry) {
		if entries = withoutKeys(entries); len(entries) > 0 {
			fn(s.readAll(entries, s.take))
		}
	})
}

// Cut makes the history of a stream begin later; see bridge.Store.
func (s *Store) Cut(ctx context.Context, stream parley.Stream, first int64) (int64, error) {
	return s.inner.Cut(ctx, stream, first)
}

// Head returns the newest durable position of a stream.
func (s *Store) Head(ctx context.Context, stream parley.Stream) (parley.Head, error) {
	return s.inner.Head(ctx, stream)
}

// Epoch identifies the store's numbering.
func (s *Store) Epoch() string { return s.inner.Epoch() }

// Ready returns nil when writes are possible, or why they are not.
func (s *Store) Ready(ctx context.Context) error { return s.inner.Ready(ctx) }

// Secret returns a secret of the store; see bridge.Store. It is the store's own: what it
// protects is said in DESIGN.md.
func (s *Store) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	return s.inner.Secret(ctx, name, n)
}
