package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
	"unsafe"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/door"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/process"
)

const (
	pollRDHUP = 0x2000
	// lostCheck is how often a connection whose input is not being taken is asked whether it is still there.
	lostCheck = time.Second
	// lingerMax is how long a client is given to close the connection of a process that has ended.
	lingerMax = 5 * time.Second
)

// run starts a process for a connection.
func (u *Upgrade) run(w http.ResponseWriter, r *http.Request) {
	q, err := fromHeader(r)
	if err != nil {
		connect.WriteError(w, err)
		return
	}
	p, reader, failed, err := begin(u.Table, q)
	if err != nil {
		connect.WriteError(w, err)
		return
	}
	if failed != nil {
		if conn, _, err := hijack(w); err == nil {
			_, _ = conn.Write(failed)
			conn.Close()
		}
		return
	}
	s := &session{process: p, reader: reader, hello: appendStarted(nil, p.PID)}
	if q.View != nil && q.PTY != nil {
		s.look(q)
		reader.Close() // only now: the process may not run ahead of its viewer
	}
	defer s.leave()
	if !s.serve(w) && !q.Detach && !door.Cut(r.Context()) {
		p.Abandon()
	}
}

// attach connects to a process that runs already. It lives on when the connection is lost.
func (u *Upgrade) attach(w http.ResponseWriter, r *http.Request) {
	q, err := fromHeader(r)
	if err != nil {
		connect.WriteError(w, err)
		return
	}
	p, err := u.Table.Find(q.PID, q.Tag)
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	s := &session{process: p}
	if q.View != nil {
		if p.Spec.PTY == nil {
			connect.WriteError(w, fault.Of(fmt.Errorf("view %d: %w", p.PID, process.ErrNoPTY)))
			return
		}
		s.look(q)
	} else {
		s.hello = appendStarted(nil, p.PID)
		s.reader = p.Output.Read(r.URL.Query().Get("replay") == "1")
	}
	defer s.leave()
	s.serve(w)
}

// session is one framed connection.
type session struct {
	conn    net.Conn
	process *process.Process
	reader  *process.Reader
	hello   []byte // the first frame
	viewing bool
	lost    context.CancelFunc
}

// look makes the session that of a viewer.
func (s *session) look(q *request) {
	after := q.View.After
	if q.View.ID != s.process.ID {
		after = nil
	}
	reader, opening := s.process.Output.View(after)
	s.reader, s.viewing, s.hello = reader, true, appendOpened(nil, s.process, opening)
	if q.PTY != nil {
		reader.SetViewSize(q.PTY.Size)
		s.process.Fit()
	}
	if after == nil || opening.Offset != *after {
		s.process.Redraw()
	}
}

func (s *session) leave() {
	s.reader.Close()
	if s.viewing {
		s.process.Fit()
	}
}

// serve carries frames both ways and says whether the process ended before the connection did.
func (s *session) serve(w http.ResponseWriter) bool {
	conn, buffered, err := hijack(w)
	if err != nil {
		return false
	}
	defer conn.Close()
	ctx, lost := context.WithCancel(context.Background())
	defer lost()
	s.conn, s.lost = conn, lost
	go s.receive(ctx, buffered)
	ended := s.send(ctx)
	if ended {
		s.linger(ctx)
	}
	return ended
}

// linger goes on reading until the client is done. Closing a connection on which something is still to be read,
// such as the end of an input that came too late, would take the exit away from a client that has not read it yet.
func (s *session) linger(ctx context.Context) {
	if half, ok := s.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(lingerMax):
	}
}

func (s *session) send(ctx context.Context) (ended bool) {
	// A blocked write must end when the connection is found lost.
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := s.conn.Write(s.hello); err != nil {
		return false
	}
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := s.reader.Next(ctx, buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false
		}
		if _, err := s.conn.Write(buffer[:n]); err != nil {
			return false
		}
	}
	<-s.process.Done()
	_, _ = s.conn.Write(appendExit(nil, s.process.Exit(), false))
	return true
}

// receive acts on the client's frames until the connection ends.
func (s *session) receive(ctx context.Context, buffered *bufio.Reader) {
	defer s.lost()
	frames := frame.NewReader(buffered)
	for {
		kind, payload, err := frames.Next()
		if err != nil {
			return
		}
		// Errors are the process's business (it closed its input, or has ended), not the connection's.
		switch kind {
		case frame.Stdin:
			s.reader.Lead()
			s.write(ctx, payload)
		case frame.StdinEOF:
			_ = s.process.CloseStdin()
		case frame.Resize:
			var size process.Size
			if json.Unmarshal(payload, &size) == nil {
				s.resize(size)
			}
		case frame.Signal:
			var message struct {
				Signal string `json:"signal"`
			}
			if json.Unmarshal(payload, &message) == nil {
				if sig, err := process.ParseSignal(message.Signal); err == nil {
					_ = s.process.Signal(sig)
				}
			}
		default:
			return
		}
	}
}

func (s *session) resize(size process.Size) {
	if !s.viewing {
		_ = s.process.Resize(size)
		return
	}
	s.reader.SetViewSize(size)
	s.process.Fit()
}

// write gives input to the process. It notices a client that goes away while the process does not take it:
// nobody reads from the connection then, so only the kernel knows.
func (s *session) write(ctx context.Context, payload []byte) {
	var check *time.Timer
	check = time.AfterFunc(lostCheck, func() {
		if hungUp(s.conn) {
			s.lost()
		} else if ctx.Err() == nil {
			check.Reset(lostCheck)
		}
	})
	_ = s.process.Write(ctx, payload)
	check.Stop()
}

// hungUp says whether the client has ended its direction, or is gone.
func hungUp(conn net.Conn) bool { return polled(conn, pollRDHUP) }

// gone says whether the client has ended both directions.
func gone(conn net.Conn) bool { return polled(conn, 0) }

// polled says whether any of the events is there; an error and the end of both directions always count.
func polled(conn net.Conn, events int16) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	found := false
	err = raw.Control(func(fd uintptr) {
		poll := struct {
			fd              int32
			events, revents int16
		}{int32(fd), events, 0}
		var now syscall.Timespec
		n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
		found = errno == 0 && n > 0
	})
	return found || err != nil
}
