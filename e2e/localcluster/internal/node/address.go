package node

import (
	"fmt"
	"net/netip"
)

// AddressBlock is a node's share of the loopback network, 127.<index>.0.0/16.
// Its Pods use most of it; the last subnet belongs to the node.
type AddressBlock struct {
	index byte
}

// NewAddressBlock checks the index. 0 is the machine's own 127.0.0.1.
func NewAddressBlock(index int) (AddressBlock, error) {
	if index < 1 || index > 254 {
		return AddressBlock{}, fmt.Errorf("--index %d: must be within 1 and 254", index)
	}
	return AddressBlock{index: byte(index)}, nil
}

// Kubelet is the node's InternalIP, where its kubelet listens.
func (b AddressBlock) Kubelet() netip.Addr { return b.host(1) }

// Metadata is where the cloud's metadata service listens for this node.
func (b AddressBlock) Metadata() netip.Addr { return b.host(254) }

func (b AddressBlock) host(last byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, b.index, 255, last})
}
