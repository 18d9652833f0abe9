package bridge

import "sync/atomic"

type stats struct {
	recorded, duplicates, refused, limited, retries, tailReads, storeReads atomic.Int64

	searches, searchesLimited, searchesPartial atomic.Int64
}

func (s *stats) read() Stats {
	return Stats{
		Recorded: s.recorded.Load(), Duplicates: s.duplicates.Load(), Refused: s.refused.Load(),
		Limited: s.limited.Load(),
		Retries: s.retries.Load(), TailReads: s.tailReads.Load(), StoreReads: s.storeReads.Load(),
		Searches: s.searches.Load(), SearchesLimited: s.searchesLimited.Load(), SearchesPartial: s.searchesPartial.Load(),
	}
}
