package seal

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/bridge"
)

// keysStream is the log of wrapped data keys: an ordinary stream, so that every store
// has it, copies it and backs it up as it does the others. Its name is none that a site
// or a topic can have. Records that a rotation has replaced are cut.
const keysStream = parley.Stream("$keys")

const keysSender = "parley"

// everySite stands in a record for the sites that there are not yet.
const everySite = "*"

// record is what the stream of keys says about one data key.
type record struct {
	Site    string `json:"site"`
	Number  uint64 `json:"number"` // 0 for everySite
	Born    string `json:"born"`   // id of the newest master key when the data key was made
	Master  string `json:"master"` // id of the one that wraps it
	Wrapped []byte `json:"wrapped"`
}

// ref names a data key.
type ref struct {
	site   string
	number uint64
}

// wrap is a record and where it is.
type wrap struct {
	record
	seq int64
}

// site is what is known of a sealed site. It is never changed.
type site struct {
	name   string
	keys   map[uint64]*dataKey
	newest *dataKey
	blind  *blinder
}

// ring is what is known of all sites. What is shared is never changed: others take its
// place.
type ring struct {
	sites map[string]*site
	every bool // sites that come are sealed from their beginning
}

func newRing() *ring { return &ring{sites: map[string]*site{}} }

func (r *ring) clone() *ring { return &ring{sites: maps.Clone(r.sites), every: r.every} }

// add takes up a data key. Nobody else has the ring yet.
func (r *ring) add(name string, k *dataKey) {
	if name == everySite {
		r.every = true
		return
	}
	was, is := r.sites[name], &site{name: name, keys: map[uint64]*dataKey{}, newest: k}
	if was != nil {
		is.keys, is.blind = maps.Clone(was.keys), was.blind
		if was.newest.number > k.number {
			is.newest = was.newest
		}
	}
	is.keys[k.number] = k
	if k.number == 1 {
		is.blind = newBlinder(k.key)
	}
	r.sites[name] = is
}

// has reports whether a data key is known.
func (r *ring) has(key ref) bool {
	if key.site == everySite {
		return r.every
	}
	s := r.sites[key.site]
	return s != nil && s.keys[key.number] != nil
}

// ErrKeys is what Open and Use fail with when a master key is missing, or is not the one
// that its id says.
var ErrKeys = errors.New("the store cannot be read with these master keys")

// load reads the records that are new, and opens their data keys. The lock is held.
func (s *Store) load(ctx context.Context) error { return s.loadFrom(ctx, s.inner) }

func (s *Store) loadFrom(ctx context.Context, from Log) error {
	for {
		page, err := from.Read(ctx, keysStream, s.position, bridge.MaxAppend)
		if err != nil {
			return fmt.Errorf("read data keys: %w", err)
		}
		for i := range page {
			if page[i].Redacted { // a rotation has replaced it
				continue
			}
			var r record
			if err := json.Unmarshal(page[i].Body, &r); err != nil || r.Site == "" {
				return fmt.Errorf("%w: record %d of the data keys is damaged; restore the newest backup", ErrKeys, page[i].Seq)
			}
			key := ref{r.Site, r.Number}
			s.wraps[key] = append(s.wraps[key], wrap{r, page[i].Seq})
		}
		if len(page) > 0 {
			s.position = page[len(page)-1].Seq
		}
		if len(page) < bridge.MaxAppend {
			break
		}
	}
	if s.position > 0 && len(s.wraps) == 0 {
		return fmt.Errorf("%w: the records of its data keys are empty; restore the newest backup", ErrKeys)
	}
	return s.unwrapAll()
}

// refs returns the data keys there are, by site and number.
func (s *Store) refs() []ref {
	return slices.SortedFunc(maps.Keys(s.wraps), func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.site, b.site), cmp.Compare(a.number, b.number))
	})
}

// unwrapAll opens the data keys that are not known yet, or tells which master keys that
// would take.
func (s *Store) unwrapAll() error {
	next := s.ring.Load().clone()
	var bad []error
	for _, key := range s.refs() {
		if next.has(key) {
			continue
		}
		k, err := s.unwrap(key)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		next.add(key.site, k)
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: %w", ErrKeys, errors.Join(bad...))
	}
	for name, is := range next.sites {
		if is.blind == nil {
			return fmt.Errorf("%w: the first data key of the site %s is not in the store", ErrKeys, name)
		}
	}
	s.ring.Store(next)
	return nil
}

// unwrap opens a data key with the newest record for which there is a master key.
func (s *Store) unwrap(key ref) (*dataKey, error) {
	wraps, bad := s.wraps[key], error(nil)
	for i := len(wraps) - 1; i >= 0; i-- {
		master, ok := s.keys.find(wraps[i].Master)
		if !ok {
			continue
		}
		plain, err := newXAES(master.key[:]).open(nil, wraps[i].Wrapped, wraps[i].about())
		if err == nil {
			return newDataKey(key.number, wraps[i].Born, plain), nil
		}
		bad = fmt.Errorf("the master key %s is not the one that seals %s: it has the same id and other bytes; or the data key is damaged", master.id, siteText(key.site))
	}
	if bad != nil {
		return nil, bad
	}
	given := "none is given"
	if !s.keys.Empty() {
		given = "given are " + s.keys.String()
	}
	return nil, fmt.Errorf("%s needs the master key %s; %s", siteText(key.site), wraps[len(wraps)-1].Master, given)
}

func siteText(name string) string {
	if name == everySite {
		return "the store"
	}
	return "the site " + name
}

// about is what a wrapped data key belongs to.
func (r *record) about() []byte {
	return about("data key", r.Site, fmt.Sprint(r.Number), r.Born, r.Master)
}

// wrapped returns the record of a data key under the newest master key.
func (s *Store) wrapped(key ref, born string, plain []byte) record {
	master := s.keys.Newest()
	r := record{Site: key.site, Number: key.number, Born: born, Master: master.id}
	r.Wrapped = newXAES(master.key[:]).seal(nil, plain, r.about())
	return r
}

// put appends records, and takes them up when they are durable. What another server has
// put there first counts. The lock is held.
func (s *Store) put(ctx context.Context, records []record) error {
	for batch := range slices.Chunk(records, bridge.MaxAppend) {
		entries := make([]parley.Entry, len(batch))
		for i := range batch {
			body, err := parley.EncodeBody(batch[i])
			if err != nil {
				return fmt.Errorf("encode data key: %w", err)
			}
			digest := sha256.Sum256(body)
			entries[i] = parley.Entry{
				ID: s.idOf(&batch[i]), Sender: keysSender, Role: parley.RoleSystem, Type: parley.EntryText, Body: body, Digest: digest[:],
			}
		}
		answers, err := s.inner.Append(ctx, keysStream, entries, parley.ExpectAny)
		if err != nil {
			return fmt.Errorf("write data keys: %w", err)
		}
		for _, a := range answers {
			if a.Err != nil && parley.ErrorOf(a.Err).Code != parley.CodeConflict {
				return fmt.Errorf("write data keys: %w", a.Err)
			}
		}
	}
	return s.load(ctx)
}

// idOf returns the id of a record: of a data key that is new always the same, so that
// two servers do not make it twice.
func (s *Store) idOf(r *record) string {
	id := fmt.Sprintf("%s:%d", r.Site, r.Number)
	if len(s.wraps[ref{r.Site, r.Number}]) > 0 {
		id += ":" + r.Master + ":" + rand.Text()
	}
	return id
}
