package cloud

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"imagejob.dev/localcluster/internal/node"
)

// claimPort is the port on which an address of the block is listened on as long
// as a machine uses the block. So two clusters on one computer never share a
// block, and the claims of a dead supervisor end with it. The metadata service
// uses this port.
const claimPort = 10253

const blocks = 254

// addressBlock is a machine's claimed share of the loopback network.
type addressBlock struct {
	node.AddressBlock
	index    int
	listener net.Listener
}

// claimAddressBlock tries the blocks after the given one. Like a real cloud it
// does not give a dead machine's addresses to the next machine.
func claimAddressBlock(after int) (*addressBlock, error) {
	for offset := range blocks {
		index := 1 + (after+offset)%blocks
		block, err := node.NewAddressBlock(index)
		if err != nil {
			return nil, err
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(block.Metadata().String(), strconv.Itoa(claimPort)))
		if err == nil {
			return &addressBlock{AddressBlock: block, index: index, listener: listener}, nil
		}
	}
	return nil, errors.New("no loopback network 127.1.0.0/16 to 127.254.0.0/16 is free: too many machines, or something listens on every address at port " + strconv.Itoa(claimPort))
}

func (b *addressBlock) metadataURL() string {
	return "http://" + net.JoinHostPort(b.Metadata().String(), strconv.Itoa(claimPort))
}

// release makes the block available to other machines.
func (b *addressBlock) release() { b.listener.Close() }

func formatLabels(labels map[string]string) string {
	var items []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		items = append(items, key+"="+labels[key])
	}
	return strings.Join(items, ",")
}
