// Package door lets the control plane in where nobody outside can open a connection to the agent.
//
// The agent holds a few connections open to a socket outside, in a directory that only the control plane can
// write; whoever is at the other end takes one of them and sends a request on it. A checkpoint cuts all of
// them, and they are made again afterwards: by then the directory may be that of another workspace.
//
// Its one rule: nothing is remembered of the directory. It is read again before every connection.
package door

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// waitingMax is how many connections wait to be taken.
	waitingMax = 8
	retryMin   = 5 * time.Millisecond
	retryMax   = 250 * time.Millisecond
	stateMax   = 4 << 10
	// checkpoints is gVisor's file that can be read from when a checkpoint was made or restored since it was opened.
	checkpoints = "/proc/gvisor/checkpoint"
)

// Door makes connections to the socket in Directory. It is a net.Listener: what it accepts has been taken.
type Door struct {
	directory string
	// proof is what tells the other end that it is the agent who connected, and nobody else from inside.
	proof []byte
	// told is called with the digest of the control key whenever it was read.
	told  func(controlHash []byte)
	taken chan net.Conn
	ended chan struct{}
	once  sync.Once
	mu    sync.Mutex
	open  map[*connection]struct{}
}

// state is door.json.
type state struct {
	ControlSHA256 string `json:"control_sha256"`
	// Epoch is another one after every checkpoint, on both sides of it.
	Epoch string `json:"epoch"`
}

// Open begins to connect.
func Open(directory, proof string, told func(controlHash []byte)) (*Door, error) {
	if len(proof) < 32 {
		return nil, fmt.Errorf("the proof for the door has %d characters: it must have 32 at least", len(proof))
	}
	d := &Door{directory: directory, proof: []byte(proof + "\n"), told: told, taken: make(chan net.Conn), ended: make(chan struct{}), open: map[*connection]struct{}{}}
	if file, err := os.Open(checkpoints); err == nil {
		go d.watch(file)
	}
	for range waitingMax {
		go d.keep()
	}
	return d, nil
}

// Accept waits until the other end has taken a connection and sent something on it.
func (d *Door) Accept() (net.Conn, error) {
	select {
	case conn := <-d.taken:
		return conn, nil
	case <-d.ended:
		return nil, net.ErrClosed
	}
}

// Close ends the making of connections.
func (d *Door) Close() error {
	d.once.Do(func() { close(d.ended) })
	return nil
}

// Addr is the socket outside.
func (d *Door) Addr() net.Addr { return &net.UnixAddr{Name: d.socket(), Net: "unix"} }

func (d *Door) socket() string { return filepath.Join(d.directory, "door.sock") }

// keep holds one connection that waits, for as long as the door is open.
func (d *Door) keep() {
	retry := time.Duration(0)
	for {
		conn, err := d.connect()
		if err == nil {
			err = awaitInput(conn)
		}
		if err == nil {
			retry = 0
			select {
			case d.taken <- conn:
			case <-d.ended:
				conn.Close()
				return
			}
			continue
		}
		if conn != nil {
			conn.Close()
		}
		select {
		case <-time.After(retry):
			retry = min(max(2*retry, retryMin), retryMax)
		case <-d.ended:
			return
		}
	}
}

func (d *Door) connect() (*connection, error) {
	now, hash, err := d.read()
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: d.socket(), Net: "unix"})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(d.proof); err != nil {
		conn.Close()
		return nil, err
	}
	d.told(hash)
	c := &connection{UnixConn: conn, door: d, epoch: now.Epoch}
	d.mu.Lock()
	d.open[c] = struct{}{}
	d.mu.Unlock()
	return c, nil
}

// watch closes what a checkpoint cut: whoever waits on such a connection would not be told otherwise.
func (d *Door) watch(file *os.File) {
	for {
		_, err := file.Read(make([]byte, 16))
		file.Close()
		// Before the look, so that no later checkpoint is missed.
		next, failed := os.Open(checkpoints)
		if err == nil {
			d.forgetFormer()
		}
		if err != nil || failed != nil {
			return
		}
		file = next
	}
}

// forgetFormer closes the connections of former epochs.
func (d *Door) forgetFormer() {
	now, _, err := d.read()
	d.mu.Lock()
	var former []*connection
	for c := range d.open {
		if err != nil || c.epoch != now.Epoch {
			former = append(former, c)
		}
	}
	d.mu.Unlock()
	for _, c := range former {
		c.Close()
	}
}

func (d *Door) read() (state, []byte, error) {
	var now state
	text, err := os.ReadFile(filepath.Join(d.directory, "door.json"))
	if err != nil {
		return now, nil, err
	}
	if len(text) > stateMax {
		return now, nil, fmt.Errorf("door.json is over %d bytes", stateMax)
	}
	if err := json.Unmarshal(text, &now); err != nil {
		return now, nil, fmt.Errorf("door.json: %w", err)
	}
	hash, err := hex.DecodeString(now.ControlSHA256)
	if err != nil || len(hash) != 32 {
		return now, nil, fmt.Errorf("door.json: control_sha256 must be 64 hexadecimal digits")
	}
	return now, hash, nil
}

// connection knows the epoch in which it was made.
type connection struct {
	*net.UnixConn
	door  *Door
	epoch string
}

func (c *connection) Close() error {
	c.door.mu.Lock()
	delete(c.door.open, c)
	c.door.mu.Unlock()
	return c.UnixConn.Close()
}

type key struct{}

// Context is for http.Server.ConnContext: Cut then works in handlers.
func Context(ctx context.Context, conn net.Conn) context.Context {
	if c, is := conn.(*connection); is {
		return context.WithValue(ctx, key{}, c)
	}
	return ctx
}

// Cut says whether the connection of a request, which was lost, was cut by a checkpoint and not by the client.
func Cut(ctx context.Context) bool {
	c, is := ctx.Value(key{}).(*connection)
	if !is {
		return false
	}
	now, _, err := c.door.read()
	return err == nil && now.Epoch != c.epoch
}

// awaitInput waits for the first byte, and leaves it where it is.
func awaitInput(conn *connection) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var received error
	buffer := make([]byte, 1)
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, received = syscall.Recvfrom(int(fd), buffer, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if received != syscall.EINTR {
				break
			}
		}
		return received != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return err
	case received != nil:
		return received
	case n == 0:
		return net.ErrClosed
	}
	return nil
}
