package cri

import (
	"errors"
	"net/netip"
	"sync"
)

// Pods get 127.<block>.0.1 to 127.<block>.249.250; the rest of the block
// belongs to the node itself.
const (
	podSubnets   = 250
	podsPerSub   = 250
	podAddresses = podSubnets * podsPerSub
)

// Addresses hands out a node's Pod addresses in turn, so that one is not used
// again soon after its Pod is gone.
type Addresses struct {
	block byte

	mu   sync.Mutex
	next int
	used map[netip.Addr]bool
}

// NewAddresses hands out addresses of 127.<block>.0.0/16.
func NewAddresses(block byte) *Addresses {
	return &Addresses{block: block, used: map[netip.Addr]bool{}}
}

// Take returns an address that no other Pod has.
func (a *Addresses) Take() (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range podAddresses {
		n := a.next
		a.next = (a.next + 1) % podAddresses
		addr := netip.AddrFrom4([4]byte{127, a.block, byte(n / podsPerSub), byte(1 + n%podsPerSub)})
		if !a.used[addr] {
			a.used[addr] = true
			return addr, nil
		}
	}
	return netip.Addr{}, errors.New("the node has no Pod address left")
}

// Return makes an address free again.
func (a *Addresses) Return(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, addr)
}
