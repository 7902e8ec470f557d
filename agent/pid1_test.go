package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOrphansAreReaped(t *testing.T) {
	w := start(t)
	w.sh("for i in 1 2 3 4 5 6 7 8 9 10; do (setsid sh -c 'sleep 0.05' &) ; done")
	eventually(t, "no zombie is left", func() bool { return len(w.children("Z")) == 0 && len(w.children("")) == 0 })
}

// children gives the agent's children in a state ("" is any).
func (w *workspace) children(state string) []int {
	w.t.Helper()
	var found []int
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[1] == strconv.Itoa(w.agentPID()) && (state == "" || fields[0] == state) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, pid)
		}
	}
	return found
}

func TestShortLivedProcessesNeverLoseTheirStatus(t *testing.T) {
	w := start(t)
	for i := range 300 {
		if result := w.exec(object{"cmd": "/bin/sh", "args": []string{"-c", "exit " + strconv.Itoa(i%200)}}); result.code != i%200 {
			t.Fatalf("run %d: %+v", i, result)
		}
	}
}

func TestTheSignalsThatCanBeCaughtDoNotEndTheAgent(t *testing.T) {
	w := start(t)
	for sig := syscall.Signal(1); sig < 32; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGPROF:
			continue
		}
		must(t, w.cmd.Process.Signal(sig))
	}
	if result := w.sh("echo alive"); result.stdout != "alive\n" {
		t.Fatalf("got %+v", result)
	}
}

func TestShutdownLetsProcessesEndThemselvesFirst(t *testing.T) {
	w := start(t)
	polite := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "trap 'sleep 0.2; echo bye > " + w.home + "/bye; exit' TERM; echo ready; while :; do sleep 0.05; done"}, "detach": true})
	polite.until(t, saying("ready"))
	if status, body := w.call("POST", "/alcove/shutdown", object{"grace_ms": 10_000}); status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	w.awaitEnd(5 * time.Second)
	if text, _ := os.ReadFile(w.home + "/bye"); string(text) != "bye\n" {
		t.Fatal("the process was not given the time to end")
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("the agent ended with %d", code)
	}
}

func TestShutdownKillsWhoIgnoresItAfterTheGrace(t *testing.T) {
	w := start(t)
	stubborn := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "trap '' TERM HUP; echo ready; while :; do sleep 6789.1; done"}, "detach": true})
	stubborn.until(t, saying("ready"))
	began := time.Now()
	must(t, w.cmd.Process.Signal(syscall.SIGTERM))
	w.call("POST", "/alcove/shutdown", object{"grace_ms": 1})
	w.awaitEnd(15 * time.Second)
	if left := running(t, "sleep 6789.1"); len(left) > 0 {
		t.Fatalf("still running: %v", left)
	}
	if took := time.Since(began); took > 14*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func (w *workspace) awaitEnd(limit time.Duration) {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(limit):
		w.t.Fatalf("the agent did not end within %s", limit)
	}
}
