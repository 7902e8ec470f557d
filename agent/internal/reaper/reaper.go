// Package reaper is the agent's duty as PID 1: it collects every child that ends, ours or adopted.
//
// Its one rule: nothing else in this program waits for a process. One loop calls wait4(-1) and hands each
// status to whoever started that process; orphans that were adopted are collected and forgotten.
package reaper

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Status is how a child ended.
type Status struct {
	Wait  syscall.WaitStatus
	Usage syscall.Rusage
	At    time.Time
}

// ErrGone says that the process was collected already, so that its number may belong to another by now.
var ErrGone = errors.New("the process has ended")

// Reaper collects children. The zero value is not usable; call New.
type Reaper struct {
	mu     sync.Mutex
	owners map[int]chan Status
	// starting counts starts whose process number is not known yet. A child may end before its start
	// returns; while any start is under way, statuses nobody owns are kept for it.
	starting  int
	unclaimed map[int]Status
}

// New makes a Reaper and starts its loop, which runs as long as the program does.
func New() *Reaper {
	r := &Reaper{owners: map[int]chan Status{}, unclaimed: map[int]Status{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		for range signals {
			for r.collect() {
			}
		}
	}()
	return r
}

// Start calls start, which returns the number of a new child, and gives the channel on which its status
// will come exactly once.
func (r *Reaper) Start(start func() (int, error)) (int, <-chan Status, error) {
	r.mu.Lock()
	r.starting++
	r.mu.Unlock()

	pid, err := start()

	r.mu.Lock()
	defer r.mu.Unlock()
	r.starting--
	ended := make(chan Status, 1)
	if err == nil {
		if status, found := r.unclaimed[pid]; found {
			ended <- status
		} else {
			r.owners[pid] = ended
		}
	}
	if r.starting == 0 {
		clear(r.unclaimed)
	} else {
		delete(r.unclaimed, pid)
	}
	return pid, ended, err
}

// Signal sends a signal to a child that was started here and has not been collected.
//
// A number is only given to a new process after the old one was collected, and that happens under the same
// lock: the signal cannot reach a stranger.
func (r *Reaper) Signal(pid int, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, owned := r.owners[pid]; !owned {
		return ErrGone
	}
	return syscall.Kill(pid, sig)
}

func (r *Reaper) collect() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status Status
	pid, err := syscall.Wait4(-1, &status.Wait, syscall.WNOHANG, &status.Usage)
	if err == syscall.EINTR {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	status.At = time.Now()
	if owner, owned := r.owners[pid]; owned {
		owner <- status
		delete(r.owners, pid)
	} else if r.starting > 0 {
		r.unclaimed[pid] = status
	}
	return true
}

// SignalGroup sends a signal to the group that such a child leads.
func (r *Reaper) SignalGroup(pid int, sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, owned := r.owners[pid]; !owned {
		return ErrGone
	}
	return syscall.Kill(-pid, sig)
}
