package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/posture"
	"alcove.dev/agent/internal/stats"
)

func (w *workspace) stats() stats.Stats {
	w.t.Helper()
	status, body := w.call("GET", "/alcove/stats", nil)
	if status != 200 {
		w.t.Fatalf("%d %s", status, body)
	}
	var s stats.Stats
	must(w.t, json.Unmarshal(body, &s))
	return s
}

func TestStatsCountWhatRuns(t *testing.T) {
	w := start(t)
	if before := w.stats(); before.ExecsRunning != 0 || before.Terminals != 0 || before.StreamsOpen != 0 {
		t.Fatalf("got %+v", before)
	}
	command := w.upgrade("process=1", object{"cmd": "cat", "stdin": true})
	command.until(t, func(r ran) bool { return r.pid > 0 })
	terminal := w.upgrade("process=1", object{"cmd": "cat", "pty": object{}, "stdin": true})
	terminal.until(t, func(r ran) bool { return r.pid > 0 })
	s := w.stats()
	if s.ExecsRunning != 1 || s.Terminals != 1 || s.StreamsOpen != 2 || s.Disk == nil || s.Disk.Total == 0 {
		t.Fatalf("got %+v", s)
	}
	if os.Getuid() == 0 && s.Processes != 2 {
		t.Fatalf("%d processes", s.Processes)
	}
}

func TestStatsNameWhoListens(t *testing.T) {
	w := start(t)
	w.loopback()
	w.listen(script("127.0.0.1", "AF_INET"))
	var found *stats.Port
	for _, port := range w.stats().ListeningPorts {
		if port.Port == 8765 && port.Address == "127.0.0.1" {
			found = &port
		}
	}
	if found == nil || !strings.HasPrefix(found.Command, "python3") || found.PID == 0 {
		t.Fatalf("got %+v", found)
	}
	s := w.upgrade("port=8765", nil)
	if s.status != 101 {
		t.Fatal(s.body)
	}
	if established := w.stats().TCPEstablished; os.Getuid() == 0 && established != 2 {
		t.Fatalf("%d connections", established)
	}
}

func TestBytesThatMoveAreActivityAndLookingIsNot(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "cat", "stdin": true})
	s.until(t, func(r ran) bool { return r.pid > 0 })
	first := w.stats().LastActivityAt
	time.Sleep(2 * time.Millisecond)
	if again := w.stats().LastActivityAt; first == nil || !again.Equal(*first) {
		t.Fatalf("looking moved it from %v to %v", first, again)
	}
	s.send(t, frame.Stdin, "x")
	s.until(t, saying("x"))
	if moved := w.stats().LastActivityAt; !moved.After(*first) {
		t.Fatalf("a byte did not move it from %v", first)
	}
}

func TestCPUThatWasUsedIsCountedAlsoWhenItsUserHasEnded(t *testing.T) {
	w := start(t)
	before := w.stats().CPUUsec
	w.sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if used := w.stats().CPUUsec - before; used < 20_000 {
		t.Fatalf("%d µs", used)
	}
}

func TestThePostureIsWhatAChildOfTheUserSees(t *testing.T) {
	needRoot(t)
	w := start(t)
	status, body := w.call("GET", "/alcove/posture", nil)
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	var p posture.Posture
	must(t, json.Unmarshal(body, &p))
	none := "0000000000000000"
	if !slices.Equal(p.Child.UID, []int{1000, 1000, 1000, 1000}) || !slices.Equal(p.Child.Groups, []int{1000, 1500}) || p.Child.CapBnd != none || p.Child.CapEff != none {
		t.Errorf("credentials: %+v", p.Child.Credentials)
	}
	if len(p.Child.Descriptors) != 3 {
		t.Errorf("descriptors: %v", p.Child.Descriptors)
	}
	if p.Agent.PID != 1 || !p.Agent.ThreadsUniform || p.Agent.CapPrm != "00000000000000e0" {
		t.Errorf("agent: %+v", p.Agent)
	}
	if !p.Child.Writable[w.home] || !p.Child.Writable["/tmp"] || p.Child.Writable["/etc"] || p.Child.Writable["/usr"] {
		t.Errorf("writable: %v", p.Child.Writable)
	}
	if p.Child.Masked["/proc/1/environ"] != "denied" || p.Child.Masked["/proc/1/mem"] != "denied" {
		t.Errorf("masked: %v", p.Child.Masked)
	}
	for _, call := range []string{"ptrace_pid1", "mount", "init_module", "chroot"} {
		// ENOSYS: this kernel has no such thing at all.
		if got := p.Child.Syscalls[call]; got != "EPERM" && got != "ENOSYS" {
			t.Errorf("%s: %s", call, p.Child.Syscalls[call])
		}
	}
	for _, name := range []string{"user", "pid", "mnt", "net"} {
		own, _ := os.Readlink("/proc/self/ns/" + name)
		if got := p.Child.Namespaces[name]; got == "" || got == own {
			t.Errorf("namespace %s: %s", name, got)
		}
	}
	if !slices.ContainsFunc(p.Child.Mounts, func(m posture.Mount) bool { return m.MountPoint == "/proc" && m.FSType == "proc" }) {
		t.Errorf("mounts: %+v", p.Child.Mounts)
	}
}
