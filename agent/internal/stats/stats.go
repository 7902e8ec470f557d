// Package stats says how a workspace is, from what it can see of itself.
//
// Its one rule: it is cheap. It is asked every few seconds, and reads /proc once for an answer.
package stats

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/threads"
)

const (
	// tick is the unit of the times in /proc/PID/stat (USER_HZ, which is 100 wherever Go runs).
	tick = 10 * time.Millisecond
)

// Disk is how full the file system of the default user's home is.
type Disk struct {
	Path        string `json:"path"`
	Total       uint64 `json:"total"`
	Used        uint64 `json:"used"`
	InodesTotal uint64 `json:"inodes_total"`
	InodesUsed  uint64 `json:"inodes_used"`
}

// Memory is in bytes; Current and Limit are there when the workspace can see its cgroup.
type Memory struct {
	RSS     uint64  `json:"rss"`
	Current *uint64 `json:"current,omitempty"`
	Limit   *uint64 `json:"limit,omitempty"`
}

// Stats is the answer of GET /alcove/stats.
type Stats struct {
	At             time.Time  `json:"at"`
	Processes      int        `json:"processes"`
	ExecsRunning   int        `json:"execs_running"`
	Terminals      int        `json:"terminals"`
	StreamsOpen    int64      `json:"streams_open"`
	TCPEstablished int        `json:"tcp_established"`
	ListeningPorts []Port     `json:"listening_ports"`
	Disk           *Disk      `json:"disk,omitempty"`
	Memory         Memory     `json:"memory"`
	CPUUsec        int64      `json:"cpu_usec"`
	IOBytes        *uint64    `json:"io_bytes,omitempty"`
	LastActivityAt *time.Time `json:"last_activity_at"`
}

// Collector makes Stats.
type Collector struct {
	Table *process.Table
	Meter *activity.Meter
	ports portNames
}

// Collect looks once.
func (c *Collector) Collect() Stats {
	s := Stats{At: time.Now().UTC(), StreamsOpen: c.Meter.Streams()}
	s.ExecsRunning, s.Terminals = c.Table.Counts()
	if last := c.Meter.Last(); !last.IsZero() {
		s.LastActivityAt = &last
	}
	var cpu time.Duration
	user, err := c.Table.Users.Lookup("")
	var found sockets
	threads.Enter()
	s.Processes, cpu, s.Memory.RSS = readProcesses()
	s.CPUUsec = cpu.Microseconds()
	c.cgroup(&s)
	if err == nil {
		s.Disk = diskOf(user.Home)
	}
	found.read()
	threads.Leave()
	s.TCPEstablished = found.established
	s.ListeningPorts = c.ports.name(found.listening, user, err == nil)
	return s
}

// readProcesses counts the processes beside the agent, and sums up what all have used, those that have
// ended included: they were waited for by their parents, and in the end by us.
func readProcesses() (count int, cpu time.Duration, rss uint64) {
	var ended syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended) == nil {
		cpu = time.Duration(ended.Utime.Nano() + ended.Stime.Nano())
	}
	directory, err := os.Open("/proc")
	if err != nil {
		return 0, cpu, 0
	}
	defer directory.Close()
	names, _ := directory.Readdirnames(-1)
	self := strconv.Itoa(os.Getpid())
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		used, pages, ok := readProcess(name)
		if !ok {
			continue
		}
		if name != self {
			count++
		}
		cpu += used
		rss += pages * uint64(os.Getpagesize())
	}
	return count, cpu, rss
}

func readProcess(pid string) (cpu time.Duration, pages uint64, ok bool) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0, false
	}
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(text[end+1:])
	if len(fields) < 22 {
		return 0, 0, false
	}
	// utime and stime, then cutime and cstime of its ended children; the agent's are in RUSAGE_CHILDREN.
	times := fields[11:15]
	if pid == strconv.Itoa(os.Getpid()) {
		times = fields[11:13]
	}
	for _, field := range times {
		ticks, _ := strconv.ParseInt(string(field), 10, 64)
		cpu += time.Duration(ticks) * tick
	}
	pages, _ = strconv.ParseUint(string(fields[21]), 10, 64)
	return cpu, pages, true
}

func diskOf(path string) *Disk {
	var system syscall.Statfs_t
	if syscall.Statfs(path, &system) != nil {
		return nil
	}
	size := uint64(system.Bsize)
	return &Disk{
		Path: path, Total: system.Blocks * size, Used: (system.Blocks - system.Bfree) * size,
		InodesTotal: system.Files, InodesUsed: system.Files - system.Ffree,
	}
}

// cgroup fills in what the workspace's own cgroup says, where it can be seen; it counts better.
func (c *Collector) cgroup(s *Stats) {
	const root = "/sys/fs/cgroup"
	if os.Getpid() != 1 {
		return // not ours alone
	}
	for _, name := range []string{"memory.current", "memory/memory.usage_in_bytes"} {
		if value, ok := readNumber(filepath.Join(root, name)); ok {
			s.Memory.Current = &value
			break
		}
	}
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		if value, ok := readNumber(filepath.Join(root, name)); ok && value < 1<<62 {
			s.Memory.Limit = &value
			break
		}
	}
	if value, ok := readNumber(filepath.Join(root, "cpuacct/cpuacct.usage")); ok {
		s.CPUUsec = int64(value / 1000)
	}
	if value, ok := readField(filepath.Join(root, "cpu.stat"), "usage_usec "); ok {
		s.CPUUsec = int64(value)
	}
	s.IOBytes = readIO(filepath.Join(root, "io.stat"))
}

func readNumber(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	value, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return value, err == nil
}

func readField(path, name string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			value, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			return value, err == nil
		}
	}
	return 0, false
}

func readIO(path string) *uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var sum uint64
	for field := range strings.FieldsSeq(string(text)) {
		for _, name := range []string{"rbytes=", "wbytes="} {
			if rest, found := strings.CutPrefix(field, name); found {
				value, _ := strconv.ParseUint(rest, 10, 64)
				sum += value
			}
		}
	}
	return &sum
}
