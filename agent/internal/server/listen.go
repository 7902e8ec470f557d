package server

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"alcove.dev/agent/internal/door"
)

const proofMax = 1 << 10

// Listen opens what ALCOVE_LISTEN names: fd:3, dial:/directory, unix:/path or tcp:address:port. With dial: the
// proof that the agent shows there is what stdin holds, and guard is told of the control key's digest again and again.
func Listen(where string, stdin io.Reader, guard *Guard) (net.Listener, error) {
	kind, rest, _ := strings.Cut(where, ":")
	switch kind {
	case "dial":
		// Not from the environment: gVisor shows everybody inside what a container was started with.
		proof, err := io.ReadAll(io.LimitReader(stdin, proofMax))
		if err != nil {
			return nil, fmt.Errorf("read the proof from standard input: %w", err)
		}
		return door.Open(rest, strings.TrimSpace(string(proof)), guard.SetControlHash)
	case "fd":
		fd, err := strconv.Atoi(rest)
		if err != nil || fd < 3 {
			return nil, fmt.Errorf("listen on %q: the descriptor must be a number from 3", where)
		}
		file := os.NewFile(uintptr(fd), "listener")
		defer file.Close()
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("listen on %q: is it a listening socket? %w", where, err)
		}
		return listener, nil
	case "unix":
		// A socket that an earlier agent left behind would refuse the address.
		if info, err := os.Lstat(rest); err == nil && info.Mode().Type() == os.ModeSocket {
			_ = os.Remove(rest)
		}
		listener, err := net.Listen("unix", rest)
		if err != nil {
			return nil, fmt.Errorf("listen on %q: %w", where, err)
		}
		if err := os.Chmod(rest, 0o600); err != nil {
			listener.Close()
			return nil, fmt.Errorf("listen on %q: %w", where, err)
		}
		return listener, nil
	case "tcp":
		listener, err := net.Listen("tcp", rest)
		if err != nil {
			return nil, fmt.Errorf("listen on %q: %w", where, err)
		}
		return listener, nil
	}
	return nil, fmt.Errorf("listen on %q: give fd:3, dial:/directory, unix:/path or tcp:address:port", where)
}
