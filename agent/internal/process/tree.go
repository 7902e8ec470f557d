package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"alcove.dev/agent/internal/threads"
)

// roundsMax bounds how often a tree is looked at again; each round stops everything it found, so that only
// what was being born can be new.
const roundsMax = 50

// stat is what /proc/PID/stat says of a process's place in the tree.
type stat struct{ pid, parent, group, session int }

// killTree ends a process, its session and group, and all descendants, as long as any is left.
//
// First everything is stopped, until a look finds nobody new: a fork bomb cannot outrun that, because a
// stopped process has no children. Then everything is killed. A process that left the session and whose
// parents had all ended before is out of reach, as it is for every such walk; the workspace's own end gets it.
//
// stopRoot must stop the root itself, and say false if it has ended: then its number may be a stranger's.
func killTree(root int, stopRoot func() bool) {
	if !stopRoot() {
		return
	}
	stopped := map[int]bool{}
	for range roundsMax {
		fresh := false
		for _, pid := range treeOf(root, stopped) {
			if !stopped[pid] {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				stopped[pid] = true
				fresh = true
			}
		}
		if !fresh {
			break
		}
	}
	for pid := range stopped {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for range roundsMax {
		left := treeOf(root, nil)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// EndAll asks every process but the agent to end, waits for at most grace, and kills what is left.
//
// As PID 1 that is everybody in the workspace's PID namespace; otherwise the agent's descendants only.
func (t *Table) EndAll(grace time.Duration) {
	signalAll(syscall.SIGTERM)
	for _, p := range t.List() {
		if p.Spec.PTY != nil {
			// Interactive shells ignore SIGTERM, and end when their terminal does.
			_ = p.Signal(syscall.SIGHUP)
		}
	}
	// Stopped processes must run to see any of it.
	signalAll(syscall.SIGCONT)
	deadline := time.Now().Add(grace)
	for len(everybody()) > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	for range roundsMax {
		if len(everybody()) == 0 {
			return
		}
		signalAll(syscall.SIGKILL)
		time.Sleep(2 * time.Millisecond)
	}
}

func signalAll(sig syscall.Signal) {
	if os.Getpid() == 1 {
		_ = syscall.Kill(-1, sig)
		return
	}
	for _, pid := range everybody() {
		_ = syscall.Kill(pid, sig)
	}
}

// everybody lists the living processes that the agent is answerable for.
func everybody() []int {
	self := os.Getpid()
	member := map[int]bool{self: true}
	all := listProcesses()
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !member[p.pid] && (self == 1 || member[p.parent]) {
				member[p.pid] = true
				grown = true
			}
		}
	}
	delete(member, self)
	pids := make([]int, 0, len(member))
	for pid := range member {
		pids = append(pids, pid)
	}
	return pids
}

// treeOf lists the living members of root's tree, known ones included. The agent itself never is one.
func treeOf(root int, known map[int]bool) []int {
	all := listProcesses()
	member := map[int]bool{}
	for {
		grown := false
		for _, p := range all {
			if member[p.pid] || p.pid == 1 || p.pid == os.Getpid() {
				continue
			}
			if p.pid == root || p.session == root || p.group == root || member[p.parent] || known[p.pid] ||
				(p.session != 0 && member[p.session]) {
				member[p.pid] = true
				grown = true
			}
		}
		if !grown {
			break
		}
	}
	pids := make([]int, 0, len(member))
	for pid := range member {
		pids = append(pids, pid)
	}
	return pids
}

// listProcesses reads every process that has not ended.
func listProcesses() []stat {
	threads.Enter()
	defer threads.Leave()
	directory, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1)
	all := make([]stat, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readStat(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The name is in parentheses and may hold anything, parentheses included: take what follows the last.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return stat{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(string(fields[i])); return n }
	return stat{pid: pid, parent: number(1), group: number(2), session: number(3)}, true
}
