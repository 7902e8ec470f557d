package stats

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"alcove.dev/agent/internal/identity"
)

const (
	stateEstablished = "01"
	stateListen      = "0A"
	portsMax         = 256
	tableBytesMax    = 4 << 20
	scanMax          = 4096
)

// Port is one TCP port that somebody listens on.
type Port struct {
	Port    uint16 `json:"port"`
	Address string `json:"address"`
	PID     int    `json:"pid,omitempty"`
	Command string `json:"command,omitempty"`
	inode   string
}

type sockets struct {
	established int
	listening   []Port
}

// read reads the tables of this network namespace.
func (s *sockets) read() {
	for _, path := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		scanner := bufio.NewScanner(io.LimitReader(file, tableBytesMax))
		for scanner.Scan() {
			s.add(strings.Fields(scanner.Text()))
		}
		file.Close()
	}
	slices.SortFunc(s.listening, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Address, b.Address))
	})
}

func (s *sockets) add(fields []string) {
	if len(fields) < 10 {
		return
	}
	switch fields[3] {
	case stateEstablished:
		s.established++
	case stateListen:
		address, port, ok := parseAddress(fields[1])
		if ok && len(s.listening) < portsMax {
			s.listening = append(s.listening, Port{Port: port, Address: address, inode: fields[9]})
		}
	}
}

// parseAddress reads "0100007F:1F90": words in the byte order of the machine, then the port.
func parseAddress(text string) (string, uint16, bool) {
	host, portText, found := strings.Cut(text, ":")
	port, err := strconv.ParseUint(portText, 16, 16)
	if !found || err != nil {
		return "", 0, false
	}
	raw, err := hex.DecodeString(host)
	if err != nil {
		return "", 0, false
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	return address.Unmap().String(), uint16(port), ok
}

// owner is who has a socket.
type owner struct {
	pid     int
	command string
}

// portNames remembers who listens. /proc is searched only when a socket appears that is not known.
type portNames struct {
	mu    sync.Mutex
	known map[string]owner
}

// name fills in the processes. They are looked up with the user's rights, because the agent has none to look
// into the processes of others; sockets of other users stay without a name.
func (n *portNames) name(ports []Port, user identity.User, ok bool) []Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	unknown := false
	for _, port := range ports {
		if _, found := n.known[port.inode]; !found {
			unknown = true
		}
	}
	if unknown {
		wanted := map[string]owner{}
		for _, port := range ports {
			wanted[port.inode] = owner{}
		}
		if ok {
			_ = user.Act(func() error {
				search(wanted)
				return nil
			})
		}
		n.known = wanted
	}
	for i := range ports {
		found := n.known[ports[i].inode]
		ports[i].PID, ports[i].Command = found.pid, found.command
	}
	if ports == nil {
		ports = []Port{}
	}
	return ports
}

func search(wanted map[string]owner) {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, process := range processes[:min(len(processes), scanMax)] {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		directory := "/proc/" + process.Name()
		descriptors, err := os.ReadDir(directory + "/fd")
		if err != nil {
			continue
		}
		for _, descriptor := range descriptors {
			target, err := os.Readlink(directory + "/fd/" + descriptor.Name())
			if err != nil {
				continue
			}
			inode, is := strings.CutPrefix(target, "socket:[")
			inode = strings.TrimSuffix(inode, "]")
			if _, want := wanted[inode]; is && want {
				command, _ := os.ReadFile(directory + "/comm")
				wanted[inode] = owner{pid: pid, command: strings.TrimSpace(string(command))}
			}
		}
	}
}
