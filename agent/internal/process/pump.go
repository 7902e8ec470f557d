package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"alcove.dev/agent/internal/frame"
)

const (
	// drainGrace is how long output is still taken after the process has ended, for as long as somebody it
	// started holds the pipe open.
	drainGrace = 100 * time.Millisecond
	// drainMax bounds what is taken after that: as much as a pipe can hold.
	drainMax = 1 << 20
	// drainsMax bounds the pipes that are kept open, unread, for processes that outlive their parent.
	drainsMax = 256
)

var buffers = sync.Pool{New: func() any { b := make([]byte, frame.OutputMax); return &b }}

var drains atomic.Int64

// pump moves what a process writes into its Output.
type pump struct {
	process  *Process
	kind     frame.Type
	file     *os.File
	raw      syscall.RawConn
	finished chan struct{} // closed when all that counts has been moved
}

func startPump(p *Process, kind frame.Type, file *os.File) *pump {
	m := &pump{process: p, kind: kind, file: file, finished: make(chan struct{})}
	raw, err := file.SyscallConn()
	if err != nil {
		close(m.finished)
		return m
	}
	m.raw = raw
	go m.run()
	return m
}

// hurry is called when the process has ended.
func (m *pump) hurry() { _ = m.file.SetReadDeadline(time.Now().Add(drainGrace)) }

func (m *pump) run() {
	err := m.move(false, 1<<62)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The reader may have been slow: what the process wrote is still in the pipe.
		_ = m.file.SetReadDeadline(time.Time{})
		err = m.move(true, drainMax)
	}
	close(m.finished)
	if err == nil && drains.Add(1) <= drainsMax {
		// Somebody it started still has the pipe. Closing it would kill that with SIGPIPE.
		m.discard()
	}
	if err == nil {
		drains.Add(-1)
	}
	m.file.Close()
}

// move forwards until the end (io.EOF), the deadline, or, with once set, until nothing is there (nil).
func (m *pump) move(once bool, limit int64) error {
	for moved := int64(0); moved < limit; {
		buffer, n, err := m.read(once)
		if n > 0 {
			m.process.Output.write(m.kind, (*buffer)[:n])
			m.process.touch()
			moved += int64(n)
		}
		if buffer != nil {
			buffers.Put(buffer)
		}
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}

// read takes a buffer only when there is something to read, so that a silent process has none.
func (m *pump) read(once bool) (buffer *[]byte, n int, err error) {
	waitErr := m.raw.Read(func(fd uintptr) bool {
		buffer = buffers.Get().(*[]byte)
		n, err = ignoringEINTR(func() (int, error) { return syscall.Read(int(fd), *buffer) })
		if err == syscall.EAGAIN {
			buffers.Put(buffer)
			buffer, n, err = nil, 0, nil
			return once
		}
		return true
	})
	switch {
	case waitErr != nil:
		return buffer, 0, waitErr
	case err != nil: // EIO is how a terminal says that its other side is closed
		return buffer, 0, io.EOF
	case buffer != nil && n == 0:
		return buffer, 0, io.EOF
	}
	return buffer, n, nil
}

func (m *pump) discard() {
	for {
		buffer, n, err := m.read(false)
		if buffer != nil {
			buffers.Put(buffer)
		}
		if err != nil || n == 0 {
			return
		}
	}
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
