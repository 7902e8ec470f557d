package sftp

import (
	"encoding/binary"
	"os"
	"syscall"
)

// handle is an open file, or a directory that is being listed.
type handle struct {
	fd int
	// listing is nil unless it is a directory's; it owns the descriptor then.
	listing *os.File
	path    string
}

func (h *handle) close() error {
	if h.listing != nil {
		return h.listing.Close()
	}
	return syscall.Close(h.fd)
}

// handles are those of one client. A number is never given twice, so that a handle that was closed does not
// come to mean another file.
type handles struct {
	open map[uint32]*handle
	last uint32
}

func (h *handles) full() bool { return len(h.open) >= handlesMax }

func (h *handles) add(opened *handle) uint32 {
	for {
		h.last++
		if _, taken := h.open[h.last]; !taken {
			h.open[h.last] = opened
			return h.last
		}
	}
}

func (h *handles) get(name []byte) (*handle, error) {
	if len(name) != 4 {
		return nil, errHandle
	}
	found, is := h.open[binary.BigEndian.Uint32(name)]
	if !is {
		return nil, errHandle
	}
	return found, nil
}

// file gives an open file that is no directory's listing.
func (h *handles) file(name []byte) (*handle, error) {
	found, err := h.get(name)
	if err == nil && found.listing != nil {
		return nil, errHandle
	}
	return found, err
}

func (h *handles) close(name []byte) error {
	found, err := h.get(name)
	if err != nil {
		return err
	}
	delete(h.open, binary.BigEndian.Uint32(name))
	return found.close()
}

func (h *handles) closeAll() {
	for _, each := range h.open {
		_ = each.close()
	}
	clear(h.open)
}
