package process

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/reaper"
)

// ProcessesMax bounds the table; the workspace's pids limit bounds what they may start in turn.
const ProcessesMax = 1024

// TerminalsMax bounds the tagged terminals, each of which keeps up to scrollbackMax bytes.
const TerminalsMax = 64

// Table holds the running processes that were started through the agent.
type Table struct {
	Users       *identity.Directory
	Environment *Environment
	Meter       *activity.Meter

	reaper *reaper.Reaper
	mu     sync.Mutex
	// workdir is where processes start that do not say; the user's home if empty.
	workdir  string
	byPID    map[int]*Process
	byTag    map[string]*Process // nil where it is being started
	settled  *sync.Cond          // one of those runs now, or will not
	starting int
	kept     int // tagged terminals, and those being started
}

// NewTable makes an empty table.
func NewTable(r *reaper.Reaper, users *identity.Directory, env *Environment, meter *activity.Meter) *Table {
	t := &Table{
		Users: users, Environment: env, Meter: meter, reaper: r,
		byPID: map[int]*Process{}, byTag: map[string]*Process{},
	}
	t.settled = sync.NewCond(&t.mu)
	return t
}

// SetWorkdir changes where processes start that do not say.
func (t *Table) SetWorkdir(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.workdir = path
}

// Workdir is where processes start that do not say; "" means the user's home.
func (t *Table) Workdir() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.workdir
}

// Find gives a running process by tag, or by number if tag is empty. It waits for one that is being started:
// who was told that the tag is taken comes here next.
func (t *Table) Find(pid int, tag string) (*Process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag != "" {
		p, taken := t.byTag[tag]
		for taken && p == nil {
			t.settled.Wait()
			p, taken = t.byTag[tag]
		}
		if !taken {
			return nil, fmt.Errorf("%w: none is tagged %q", ErrNotFound, tag)
		}
		return p, nil
	}
	if p, found := t.byPID[pid]; found {
		return p, nil
	}
	return nil, fmt.Errorf("%w: %d was not started here or has ended", ErrNotFound, pid)
}

// List gives the running processes in the order of their numbers.
func (t *Table) List() []*Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*Process, 0, len(t.byPID))
	for _, p := range t.byPID {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Process) int { return cmp.Compare(a.PID, b.PID) })
	return list
}

// Counts says how many commands and how many terminals are running; services are left out.
func (t *Table) Counts() (commands, terminals int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byPID {
		switch {
		case p.Spec.Service:
		case p.Spec.PTY != nil:
			terminals++
		default:
			commands++
		}
	}
	return commands, terminals
}

// reserve takes a place and the tag before the process exists, so that two starts cannot both get them.
func (t *Table) reserve(spec Spec) error {
	tag := spec.Tag
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byPID)+t.starting >= ProcessesMax {
		return fmt.Errorf("%w: %d are running; end some first", ErrTooMany, ProcessesMax)
	}
	if tag != "" {
		if _, taken := t.byTag[tag]; taken {
			return fmt.Errorf("%w: %q", ErrTagTaken, tag)
		}
	}
	if spec.isKept() {
		if t.kept >= TerminalsMax {
			return fmt.Errorf("%w: %d terminals are kept; end some first", ErrTooMany, TerminalsMax)
		}
		t.kept++
	}
	if tag != "" {
		t.byTag[tag] = nil
	}
	t.starting++
	return nil
}

// settle ends a reservation; p is nil if the start failed.
func (t *Table) settle(spec Spec, p *Process) {
	tag := spec.Tag
	t.mu.Lock()
	defer t.mu.Unlock()
	t.starting--
	if p != nil {
		t.byPID[p.PID] = p
	} else if spec.isKept() {
		t.kept--
	}
	if tag == "" {
		return
	}
	if p == nil {
		delete(t.byTag, tag)
	} else {
		t.byTag[tag] = p
	}
	t.settled.Broadcast()
}

func (t *Table) remove(p *Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Spec.isKept() {
		t.kept--
	}
	if t.byPID[p.PID] == p {
		delete(t.byPID, p.PID)
	}
	if t.byTag[p.Spec.Tag] == p {
		delete(t.byTag, p.Spec.Tag)
	}
}
