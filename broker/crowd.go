package broker

import (
	"container/list"
	"net"
	"net/netip"
)

// crowd is who comes from one address and has not logged in, guarded by the gate's
// lock.
type crowd struct {
	network netip.Prefix
	arrival uint64     // the order in which crowds came
	silent  *list.List // of connections, oldest first
	waiting *list.List
	size    int           // room that they take
	turn    *list.Element // in gate.turns, nil while nobody waits
	index   int           // in gate.largest
}

// crowdHeap has the largest crowd first, of equal ones the oldest.
type crowdHeap []*crowd

func (h crowdHeap) Len() int { return len(h) }

func (h crowdHeap) Less(i, j int) bool {
	return h[i].size > h[j].size || h[i].size == h[j].size && h[i].arrival < h[j].arrival
}

func (h crowdHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *crowdHeap) Push(x any) {
	w := x.(*crowd)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *crowdHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return w
}

// networkOf returns what counts as one address: an IPv4 address, or the network
// of 64 bits that one IPv6 customer has. What has no such address is one too.
func networkOf(a net.Addr) netip.Prefix { return networkAt(a.String()) }

// networkAt is networkOf for an address in words, with a port.
func networkAt(address string) netip.Prefix {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	return networkOfIP(at.Addr())
}

func networkOfIP(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // the zero one, like the others that have none
	return p
}
