package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/process"
)

const (
	protocol = "alcove-stream"
	// StreamsMax bounds the upgraded connections.
	StreamsMax  = 1024
	dialTimeout = 10 * time.Second
)

// Upgrade serves POST /alcove/stream.
type Upgrade struct {
	Table     *process.Table
	Meter     *activity.Meter
	Listeners *Listeners
	// Program is this program's own file.
	Program string
}

func (u *Upgrade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != protocol {
		w.Header().Set("Upgrade", protocol)
		http.Error(w, "send Connection: Upgrade and Upgrade: "+protocol, http.StatusUpgradeRequired)
		return
	}
	if !u.Meter.Open(StreamsMax) {
		connect.WriteError(w, connect.Errorf(connect.ResourceExhausted, "%d streams are open; close some first", StreamsMax))
		return
	}
	defer u.Meter.Close()
	query := r.URL.Query()
	switch {
	case query.Has("process"):
		u.run(w, r)
	case query.Has("attach"):
		u.attach(w, r)
	case query.Has("sftp"):
		u.sftp(w, r)
	case query.Has("listen"):
		u.listen(w, r)
	case query.Has("accepted"):
		u.take(w, r)
	case query.Has("port"), query.Has("unix"):
		u.raw(w, r)
	default:
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "say port=, unix=, process=1, attach=1, sftp=1, listen= or accepted="))
	}
}

func (u *Upgrade) raw(w http.ResponseWriter, r *http.Request) {
	target, err := u.dial(r)
	if err != nil {
		var known *connect.Error
		if errors.As(err, &known) {
			connect.WriteError(w, known)
			return
		}
		// 502: the workspace is there, what was asked for in it is not.
		body, _ := json.Marshal(connect.Errorf(connect.Unavailable, "%w", err))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write(body)
		return
	}
	defer target.Close()
	u.join(w, target)
}

func (u *Upgrade) dial(r *http.Request) (net.Conn, error) {
	query := r.URL.Query()
	// Not ended by the client's: one that has sent all it will send looks, until the upgrade, like one that left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dialTimeout)
	defer cancel()
	if path := query.Get("unix"); path != "" {
		return u.dialUnix(ctx, path, query.Get("user"))
	}
	port, err := strconv.ParseUint(query.Get("port"), 10, 16)
	if err != nil || port == 0 {
		return nil, connect.Errorf(connect.InvalidArgument, "port %q is not between 1 and 65535", query.Get("port"))
	}
	hosts := []string{"127.0.0.1", "::1"}
	if host := query.Get("host"); host != "" {
		if host == "localhost" {
			host = "127.0.0.1"
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, connect.Errorf(connect.InvalidArgument, "host %q is not a loopback address: only the workspace itself can be reached", host)
		}
		hosts = []string{host}
	}
	var first error
	for _, host := range hosts {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.FormatUint(port, 10)))
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	if errors.Is(first, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("nothing listens on port %d in this workspace: %w", port, first)
	}
	return nil, fmt.Errorf("connect to port %d: %w", port, first)
}

// dialUnix connects with the user's rights: a socket that the user may not open stays shut.
func (u *Upgrade) dialUnix(ctx context.Context, path, name string) (net.Conn, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	user, err := u.Table.Users.Lookup(name)
	if err != nil {
		return nil, fault.Of(err)
	}
	var conn net.Conn
	err = user.Act(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn, nil
}

// hijack answers 101 and takes the connection.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.Reader, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	_, err = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, buffered.Reader, nil
}

// writeBuffered passes on what the client sent behind its request.
func writeBuffered(target net.Conn, buffered *bufio.Reader) error {
	n := buffered.Buffered()
	if n == 0 {
		return nil
	}
	early, err := buffered.Peek(n)
	if err != nil {
		return err
	}
	_, err = target.Write(early)
	return err
}
