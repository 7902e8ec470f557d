package stream

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/door"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/sftp"
)

// finishMax is how long the server of a client that has sent its last byte may take to finish.
const finishMax = 10 * time.Minute

// sftp runs the SFTP server as the user, with the connection for its input and output.
func (u *Upgrade) sftp(w http.ResponseWriter, r *http.Request) {
	ours, theirs, err := socketPair()
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	defer ours.Close()
	defer theirs.Close()
	p, reader, err := u.Table.Start(process.Spec{
		Cmd: u.Program, Args: []string{sftp.Argument}, Cwd: r.URL.Query().Get("cwd"),
		User: r.URL.Query().Get("user"), Channel: theirs,
	})
	if errors.Is(err, identity.ErrUnknownUser) {
		err = connect.Errorf(connect.InvalidArgument, "%w", err)
	}
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	reader.Close()
	theirs.Close() // its end of the pair has to close when the process ends
	client, buffered, err := hijack(w)
	if err != nil {
		p.Abandon()
		return
	}
	defer client.Close()
	if err := writeBuffered(ours, buffered); err == nil {
		splice(client, &lastInput{UnixConn: ours, client: client, process: p}, u.Meter)
	}
	if !door.Cut(r.Context()) {
		p.Abandon()
	}
}

// lastInput is the server's end of the channel: once the client has sent all it will, it is watched until the
// server has finished, because a client that is gone looks the same to whoever only reads from it.
type lastInput struct {
	*net.UnixConn
	client  net.Conn
	process *process.Process
}

func (l *lastInput) CloseWrite() error {
	go func() {
		look := time.NewTicker(lostCheck)
		defer look.Stop()
		enough := time.After(finishMax)
		for {
			select {
			case <-l.process.Done():
				return
			case <-look.C:
				if !gone(l.client) {
					continue
				}
			case <-enough:
			}
			l.process.Abandon()
			return
		}
	}()
	return l.UnixConn.CloseWrite()
}

// socketPair gives our end, and the end that a process gets.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a channel: %w", err)
	}
	theirs = os.NewFile(uintptr(pair[1]), "channel")
	file := os.NewFile(uintptr(pair[0]), "channel")
	defer file.Close() // net has its own copy
	conn, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make a channel: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil
}
