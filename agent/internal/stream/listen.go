package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/identity"
)

const (
	// listenersMax bounds how many listen for the control plane.
	listenersMax = 128
	// waitingMax bounds the connections of one listener that nobody has taken; the kernel keeps the next.
	waitingMax = 32
	// takenWithin is how long a connection waits to be taken.
	takenWithin  = 10 * time.Second
	pathMax      = 107
	portsMax     = 1 << 16
	unprivileged = 1024
)

// Listeners are the sockets that the control plane had made, and the connections to them that it has not
// taken yet.
type Listeners struct {
	mu      sync.Mutex
	open    int
	waiting map[string]*waitingConn
}

// NewListeners makes an empty set.
func NewListeners() *Listeners { return &Listeners{waiting: map[string]*waitingConn{}} }

// line is what the control plane is told, one JSON object a line.
type line struct {
	Port     int    `json:"port,omitempty"`
	Path     string `json:"path,omitempty"`
	Accepted string `json:"accepted,omitempty"`
	Peer     string `json:"peer,omitempty"`
}

// listen makes a socket inside and tells of each connection to it, until the client goes away.
func (u *Upgrade) listen(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	user, err := u.Table.Users.Lookup(query.Get("user"))
	if errors.Is(err, identity.ErrUnknownUser) {
		err = connect.Errorf(connect.InvalidArgument, "%w", err)
	}
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	if !u.Listeners.enter() {
		connect.WriteError(w, connect.Errorf(connect.ResourceExhausted, "%d sockets listen for the control plane; close some first", listenersMax))
		return
	}
	defer u.Listeners.leave()
	opened, err := open(query, user)
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	defer opened.close()
	client, buffered, err := hijack(w)
	if err != nil {
		return
	}
	defer client.Close()
	ctx, lost := context.WithCancel(context.Background())
	defer lost()
	go func() {
		_, _ = io.Copy(io.Discard, buffered) // it has nothing to say; its end is what we wait for
		lost()
	}()
	u.Listeners.serve(ctx, opened, client)
}

// sockets are those of one request: one, or one for each family of addresses.
type sockets struct {
	listeners []net.Listener
	told      line
	cleanup   func()
}

func (o *sockets) close() {
	for _, each := range o.listeners {
		each.Close()
	}
	if o.cleanup != nil {
		o.cleanup()
	}
}

// serve tells of connections until ctx ends. What was not taken until then is closed.
func (l *Listeners) serve(ctx context.Context, o *sockets, client net.Conn) {
	accepted := make(chan net.Conn)
	for _, listener := range o.listeners {
		go accept(ctx, listener, accepted)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = client.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()
	places := make(chan struct{}, waitingMax)
	out := json.NewEncoder(client)
	if out.Encode(o.told) != nil {
		return
	}
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case conn := <-accepted:
			id := l.keep(ctx, conn, func() { <-places })
			if out.Encode(line{Accepted: id, Peer: peer(conn)}) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func accept(ctx context.Context, listener net.Listener, accepted chan<- net.Conn) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Such as too many open files: it passes, or the listener is closed.
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case accepted <- conn:
		case <-ctx.Done():
			conn.Close()
			return
		}
	}
}

func peer(conn net.Conn) string {
	if address, is := conn.RemoteAddr().(*net.TCPAddr); is {
		return address.String()
	}
	return ""
}

// keep has the connection wait to be taken, and calls free when it waits no longer.
func (l *Listeners) keep(ctx context.Context, conn net.Conn, free func()) string {
	id := newID()
	waiting := &waitingConn{Conn: conn, taken: make(chan struct{})}
	l.mu.Lock()
	l.waiting[id] = waiting
	l.mu.Unlock()
	go func() {
		defer free()
		patience := time.NewTimer(takenWithin)
		defer patience.Stop()
		select {
		case <-waiting.taken:
			return
		case <-patience.C:
		case <-ctx.Done():
		}
		if l.take(id) != nil {
			conn.Close()
		}
	}()
	return id
}

type waitingConn struct {
	net.Conn
	taken chan struct{}
}

// take gives the connection to whoever asks first.
func (l *Listeners) take(id string) net.Conn {
	l.mu.Lock()
	found, is := l.waiting[id]
	delete(l.waiting, id)
	l.mu.Unlock()
	if !is {
		return nil
	}
	close(found.taken)
	return found.Conn
}

func (l *Listeners) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= listenersMax {
		return false
	}
	l.open++
	return true
}

func (l *Listeners) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// take gives the control plane one accepted connection.
func (u *Upgrade) take(w http.ResponseWriter, r *http.Request) {
	conn := u.Listeners.take(r.URL.Query().Get("accepted"))
	if conn == nil {
		connect.WriteError(w, connect.Errorf(connect.NotFound, "no such connection waits"))
		return
	}
	defer conn.Close()
	u.join(w, conn)
}

// join passes bytes between the client and what it asked for.
func (u *Upgrade) join(w http.ResponseWriter, target net.Conn) {
	client, buffered, err := hijack(w)
	if err != nil {
		return
	}
	defer client.Close()
	if writeBuffered(target, buffered) == nil {
		splice(client, target, u.Meter)
	}
}

// open makes what the query asks for, with the user's rights.
func open(query url.Values, user identity.User) (*sockets, error) {
	switch kind := query.Get("listen"); kind {
	case "tcp":
		return openPort(query.Get("port"), user)
	case "unix":
		return openPath(query.Get("path"), user)
	case "agent":
		return openForAgent(user)
	default:
		return nil, connect.Errorf(connect.InvalidArgument, "listen %q is none of tcp, unix, agent", kind)
	}
}

// openPort listens on the loopback addresses, and on no other: what listens there is somebody else's machine.
func openPort(asked string, user identity.User) (*sockets, error) {
	port, err := strconv.ParseUint(asked, 10, 16)
	if err != nil {
		return nil, connect.Errorf(connect.InvalidArgument, "port %q is not between 0 and 65535", asked)
	}
	if port > 0 && port < firstUnprivileged() && user.UID != 0 {
		return nil, connect.Errorf(connect.PermissionDenied, "port %d is for root alone", port)
	}
	o := &sockets{}
	err = user.Act(func() error {
		first, err := net.Listen("tcp4", "127.0.0.1:"+strconv.FormatUint(port, 10))
		if err != nil {
			return err
		}
		o.listeners = append(o.listeners, first)
		o.told.Port = first.Addr().(*net.TCPAddr).Port
		// Not every workspace has IPv6.
		if second, err := net.Listen("tcp6", "[::1]:"+strconv.Itoa(o.told.Port)); err == nil {
			o.listeners = append(o.listeners, second)
		}
		return nil
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, connect.Errorf(connect.AlreadyExists, "port %d is taken in this workspace", port)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on port %d: %w", port, err)
	}
	return o, nil
}

func firstUnprivileged() uint64 {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return unprivileged
	}
	first, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil || first > portsMax {
		return unprivileged
	}
	return first
}

// openPath listens on a path that is free. Only the user may connect.
func openPath(path string, user identity.User) (*sockets, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	var listener net.Listener
	err := user.Act(func() (err error) {
		listener, err = listenAt(path)
		return err
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, connect.Errorf(connect.AlreadyExists, "%q is there already", path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	remove := func() { _ = user.Act(func() error { return os.Remove(path) }) }
	return &sockets{listeners: []net.Listener{listener}, told: line{Path: path}, cleanup: remove}, nil
}

// openForAgent listens in a directory of its own that nobody but the user can look into.
func openForAgent(user identity.User) (*sockets, error) {
	var listener net.Listener
	var directory string
	err := user.Act(func() (err error) {
		if directory, err = os.MkdirTemp("/tmp", "ssh-agent-"); err != nil {
			return err
		}
		if listener, err = listenAt(filepath.Join(directory, "agent")); err != nil {
			_ = os.Remove(directory)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a socket for the agent: %w", err)
	}
	remove := func() { _ = user.Act(func() error { return os.RemoveAll(directory) }) }
	return &sockets{
		listeners: []net.Listener{listener}, told: line{Path: filepath.Join(directory, "agent")}, cleanup: remove,
	}, nil
}

// checkPath refuses what is no path to a socket: names without a directory, and those of sockets that are not
// in the file system, for which no rights are checked.
func checkPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return connect.Errorf(connect.InvalidArgument, "%q is not an absolute path", path)
	case len(path) > pathMax:
		return connect.Errorf(connect.InvalidArgument, "a socket's path has at most %d bytes", pathMax)
	case strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return connect.Errorf(connect.InvalidArgument, "%q has control characters", path)
	}
	return nil
}

// listenAt binds, shuts the path to others, and only then listens.
func listenAt(path string) (net.Listener, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // net has its own copy
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return nil, err
	}
	err = syscall.Chmod(path, 0o600)
	if err == nil {
		err = syscall.Listen(fd, syscall.SOMAXCONN)
	}
	var listener net.Listener
	if err == nil {
		listener, err = net.FileListener(file)
	}
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // it would be done with the agent's rights
	return listener, nil
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}
