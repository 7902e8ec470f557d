package process

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/reaper"
)

// ending says why the agent ended a process, if it did.
type ending int32

const (
	endNone ending = iota
	endTimeout
	endKilled
	endLost
)

// Process is one running process.
type Process struct {
	Spec Spec
	PID  int
	// ID is another one for each process, also when a number comes again.
	ID      string
	User    identity.User
	Started time.Time
	Output  *Output

	table     *Table
	stdinMu   sync.Mutex
	stdin     *os.File // pipe or terminal; nil if none was asked for
	stdinShut bool     // under stdinMu: the pipe was closed by CloseStdin
	terminal  *os.File
	fitting   sync.Mutex
	timeout   *time.Timer
	ending    atomic.Int32
	oomBefore int64
	exit      Exit
	done      chan struct{}
}

// Done is closed when the process has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how it ended. It is valid once Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// touch notes that somebody uses the workspace; a service runs without anybody.
func (p *Process) touch() {
	if !p.Spec.Service {
		p.table.Meter.Touch()
	}
}

// Kill ends the process and its whole tree.
func (p *Process) Kill() { p.end(endKilled) }

// Abandon ends the tree because whoever started it has gone.
func (p *Process) Abandon() { p.end(endLost) }

func (p *Process) end(why ending) {
	p.ending.CompareAndSwap(int32(endNone), int32(why))
	killTree(p.PID, func() bool { return p.table.reaper.Signal(p.PID, syscall.SIGSTOP) == nil })
}

// Signal sends a signal to the process's group; SIGKILL ends the whole tree.
func (p *Process) Signal(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		p.Kill()
		return nil
	}
	// The group has the number of its leader, and lives at least as long.
	return p.table.reaper.SignalGroup(p.PID, sig)
}

// Resize changes the terminal's size.
func (p *Process) Resize(size Size) error {
	if p.terminal == nil {
		return fmt.Errorf("resize %d: %w", p.PID, ErrNoPTY)
	}
	raw, err := p.terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = setSize(fd, size) }); err != nil {
		return err
	}
	if failed == nil {
		p.Output.Resized(size.orDefault())
	}
	return failed
}

// Write gives data to the process's standard input or terminal, as fast as it takes it.
func (p *Process) Write(ctx context.Context, data []byte) error {
	p.stdinMu.Lock()
	defer p.stdinMu.Unlock()
	if p.stdin == nil || p.stdinShut {
		return fmt.Errorf("write to %d: %w", p.PID, ErrNoStdin)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	file := p.stdin
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = file.SetWriteDeadline(time.Unix(1, 0))
		close(expired)
	})
	_, err := file.Write(data)
	if !stop() {
		<-expired // or it would be set after it was cleared, and the next write would fail
		_ = file.SetWriteDeadline(time.Time{})
	}
	p.table.Meter.Touch()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// CloseStdin tells the process that no more input comes. To a terminal that is Ctrl-D.
func (p *Process) CloseStdin() error {
	if p.terminal != nil {
		return p.Write(context.Background(), []byte{4})
	}
	p.stdinMu.Lock()
	defer p.stdinMu.Unlock()
	if p.stdin == nil || p.stdinShut {
		return fmt.Errorf("close the input of %d: %w", p.PID, ErrNoStdin)
	}
	p.stdinShut = true
	return p.stdin.Close()
}

// follow runs as long as the process does.
func (p *Process) follow(w *wiring, ended <-chan reaper.Status) {
	var pumps []*pump
	for i, file := range w.outputs {
		kind := frame.Stdout
		if i == 1 {
			kind = frame.Stderr
		}
		pumps = append(pumps, startPump(p, kind, file))
	}
	status := <-ended
	if p.timeout != nil {
		p.timeout.Stop()
	}
	for _, pump := range pumps {
		pump.hurry()
	}
	for _, pump := range pumps {
		<-pump.finished
	}
	p.exit = p.describe(status)
	p.table.remove(p)
	p.Output.end()
	close(p.done)
	if p.stdin != nil && p.terminal == nil {
		// Without the lock: a writer may hold it, and closing is what wakes it.
		_ = p.stdin.Close()
	}
	p.touch()
}

func (p *Process) describe(status reaper.Status) Exit {
	exit := Exit{Duration: status.At.Sub(p.Started)}
	if status.Wait.Signaled() {
		exit.Signal = SignalName(status.Wait.Signal())
		exit.Code = 128 + int(status.Wait.Signal())
	} else {
		exit.Code = status.Wait.ExitStatus()
	}
	switch ending(p.ending.Load()) {
	case endTimeout:
		exit.TimedOut = true
		exit.Error = fmt.Sprintf("ended after its timeout of %s", p.Spec.Timeout)
	case endLost:
		exit.Error = "ended because its client went away"
	case endKilled:
	case endNone:
		if status.Wait.Signaled() && status.Wait.Signal() == syscall.SIGKILL && oomKills() > p.oomBefore {
			exit.OOM = true
			exit.Error = "killed for want of memory: the workspace is at its memory limit"
		}
	}
	return exit
}
