package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// running gives the numbers of the processes whose command line has text in it, as the host sees them.
func running(t testing.TB, text string) []int {
	t.Helper()
	var found []int
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		command := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if err != nil || !strings.HasPrefix(command, text) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		found = append(found, pid)
	}
	return found
}

// blocked says whether such a process is asleep in a write to a pipe.
func blocked(t testing.TB, text string) bool {
	t.Helper()
	for _, pid := range running(t, text) {
		call, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/syscall")
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		asleep := strings.Contains(string(stat), ") S ")
		if asleep && (len(call) == 0 || !strings.HasPrefix(string(call), "running")) {
			return true
		}
	}
	return false
}

// agentPID is the agent's number outside its namespaces.
func (w *workspace) agentPID() int { return w.cmd.Process.Pid }

// memory is the agent's own memory in KiB: what it has made itself and no file holds.
func (w *workspace) memory() int {
	w.t.Helper()
	file, err := os.Open("/proc/" + strconv.Itoa(w.agentPID()) + "/status")
	must(w.t, err)
	defer file.Close()
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if rest, found := strings.CutPrefix(scanner.Text(), "RssAnon:"); found {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			must(w.t, err)
			return kib / memoryFactor
		}
	}
	w.t.Fatal("no figure in status")
	return 0
}

// limitProcesses puts the workspace into a control group that has room for so many processes and threads.
func (w *workspace) limitProcesses(limit int) {
	w.t.Helper()
	base := "/sys/fs/cgroup/pids" // version 1
	if _, err := os.Stat(base); err != nil {
		base = "/sys/fs/cgroup"
	}
	group := filepath.Join(base, "alcove-agent-test-"+strconv.Itoa(w.agentPID()))
	must(w.t, os.Mkdir(group, 0o755))
	w.t.Cleanup(func() {
		w.stop()
		eventually(w.t, "the control group is empty", func() bool { return os.Remove(group) == nil })
	})
	must(w.t, os.WriteFile(filepath.Join(group, "pids.max"), []byte(strconv.Itoa(limit)), 0o644))
	must(w.t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(w.agentPID())), 0o644))
}

// enter runs a program of the host's in one of the workspace's namespaces.
func (w *workspace) enter(namespace string, command ...string) {
	w.t.Helper()
	arguments := append([]string{"--target", strconv.Itoa(w.agentPID()), "--" + namespace, "--"}, command...)
	if output, err := exec.Command("nsenter", arguments...).CombinedOutput(); err != nil {
		w.t.Fatalf("nsenter %v: %v: %s", command, err, output)
	}
}
