package sqlite

// A filter remembers hashes in 64 KiB, so that it knows of most others that they are
// not among them: of 97 in a hundred after 50,000, of two in three after 200,000.
type filter [1 << 13]uint64

// filterBits are the bits of a hash that name a bit of the filter; three times as
// many are used.
const filterBits = 19

func newFilter(hashes map[uint64]int64) *filter {
	f := &filter{}
	for hash := range hashes {
		f.add(hash)
	}
	return f
}

func (f *filter) add(hash uint64) {
	for range 3 {
		bit := hash & (1<<filterBits - 1)
		f[bit/64] |= 1 << (bit % 64)
		hash >>= filterBits
	}
}

// lacks reports whether hash was never added. It may be false all the same when that
// is so.
func (f *filter) lacks(hash uint64) bool {
	for range 3 {
		bit := hash & (1<<filterBits - 1)
		if f[bit/64]&(1<<(bit%64)) == 0 {
			return true
		}
		hash >>= filterBits
	}
	return false
}
