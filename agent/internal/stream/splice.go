package stream

import (
	"errors"
	"io"
	"net"
	"syscall"

	"alcove.dev/agent/internal/activity"
)

// socket is what TCP and Unix connections have in common.
type socket interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// splice moves bytes both ways until both sides have finished. The end of one direction is passed on as
// such (shutdown), so that "send everything, then read the answer" works; an error ends both.
func splice(a, b net.Conn, meter *activity.Meter) {
	left, okLeft := a.(socket)
	right, okRight := b.(socket)
	if !okLeft || !okRight {
		return
	}
	finished := make(chan error, 2)
	go func() { finished <- forward(right, left, meter) }()
	go func() { finished <- forward(left, right, meter) }()
	if err := <-finished; err != nil {
		left.Close()
		right.Close()
	}
	<-finished
}

// forward copies until the end of from, and then ends to.
func forward(to, from socket, meter *activity.Meter) error {
	raw, err := from.SyscallConn()
	if err != nil {
		return err
	}
	for {
		buffer, n, err := readSome(raw)
		if n > 0 {
			meter.Touch()
			_, err = to.Write((*buffer)[:n])
		}
		if buffer != nil {
			buffers.Put(buffer)
		}
		if err == io.EOF {
			return to.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

// readSome takes a buffer only when there is something to read, so that idle streams have none.
func readSome(raw syscall.RawConn) (buffer *[]byte, n int, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		buffer = buffers.Get().(*[]byte)
		for {
			n, err = syscall.Read(int(fd), *buffer)
			if err != syscall.EINTR {
				break
			}
		}
		if err == syscall.EAGAIN {
			buffers.Put(buffer)
			buffer, n, err = nil, 0, nil
			return false
		}
		return true
	})
	if err = errors.Join(waitErr, err); err != nil {
		return buffer, 0, err
	}
	if n == 0 {
		return buffer, 0, io.EOF
	}
	return buffer, n, nil
}
