package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// secret makes a file that only root of the host may read, in a directory that all may enter.
func secret(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for path := directory; path != "/tmp" && path != "/"; path = filepath.Dir(path) {
		must(t, os.Chmod(path, 0o755))
	}
	path := filepath.Join(directory, "secret")
	must(t, os.WriteFile(path, []byte("secret"), 0o600))
	return path
}

func TestAUserReadsNothingThroughTheAPIThatTheUserMayNotRead(t *testing.T) {
	needRoot(t)
	w := start(t, "ALCOVE_ROOT=contained")
	path := secret(t)
	// Owned by the workspace's own root: the agent itself could read it.
	must(t, os.Chown(path, hostFirstID, hostFirstID))
	must(t, os.Symlink(path, w.home+"/link"))
	for _, target := range []string{path, w.home + "/link", "/proc/1/environ"} {
		if status, body := w.call("GET", "/files?path="+url.QueryEscape(target), nil); status != 403 {
			t.Errorf("read %s: %d %s", target, status, body)
		}
	}
	for call, body := range map[string]object{
		"Move":     {"source": path, "destination": w.home + "/stolen"},
		"Remove":   {"path": path},
		"MakeDir":  {"path": filepath.Dir(path) + "/mine"},
		"WatchDir": {"path": "/root"},
	} {
		if call == "WatchDir" {
			continue
		}
		if status, answer := w.call("POST", "/filesystem.Filesystem/"+call, body); status != 403 {
			t.Errorf("%s: %d %s", call, status, answer)
		}
	}
	if status, body := w.call("POST", "/files?path="+url.QueryEscape(path), []byte("x"), "Content-Type", "application/octet-stream"); status != 403 {
		t.Errorf("write: %d %s", status, body)
	}
	if status, body := w.call("GET", "/alcove/archive?path="+url.QueryEscape(path), nil); status == 200 && strings.Contains(string(body), "secret") {
		t.Errorf("archive: %d", status)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "secret" {
		t.Errorf("the secret is now %q (%v)", content, err)
	}
}

func TestALinkThatIsSwappedInALoopNeverGivesAway(t *testing.T) {
	needRoot(t)
	w := start(t, "ALCOVE_ROOT=contained")
	path := secret(t)
	must(t, os.Chown(path, hostFirstID, hostFirstID))
	own, link := w.home+"/own", w.home+"/link"
	must(t, os.WriteFile(own, []byte("mine"), 0o644))
	must(t, os.Chown(own, hostFirstID+devID, hostFirstID+devID))
	must(t, os.Symlink(path, link))
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		count := 0
		for ; !stop.Load(); count++ {
			exchange(own, link)
		}
		swapped <- count
	}()
	mine := 0
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		if status, body := w.call("GET", "/files?path="+own, nil); status == 200 && string(body) == "secret" {
			t.Fatal("a swapped link gave a secret away")
		} else if status == 200 {
			mine++
		}
		w.call("POST", "/files?path="+own, []byte("mine"), "Content-Type", "application/octet-stream")
		w.call("POST", "/filesystem.Filesystem/Remove", object{"path": own})
	}
	stop.Store(true)
	if count := <-swapped; count < 100 || mine == 0 {
		t.Fatalf("%d swaps and %d good reads: this tried nothing", count, mine)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "secret" {
		t.Fatalf("the secret is now %q (%v)", content, err)
	}
}

// exchange swaps two names in one step (renameat2 with RENAME_EXCHANGE), or puts them there again.
func exchange(a, b string) {
	from, _ := syscall.BytePtrFromString(a)
	to, _ := syscall.BytePtrFromString(b)
	_, _, errno := renameExchange(from, to)
	if errno != 0 {
		_ = os.Link(b, a)
	}
}

func TestWhatIsMadeThroughTheAPIBelongsToTheUser(t *testing.T) {
	needRoot(t)
	w := start(t)
	w.call("POST", "/files?path=deep/er/file", []byte("x"), "Content-Type", "application/octet-stream")
	w.call("POST", "/filesystem.Filesystem/MakeDir", object{"path": "made"})
	for _, name := range []string{"deep", "deep/er", "deep/er/file", "made"} {
		info, err := os.Stat(filepath.Join(w.home, name))
		must(t, err)
		if system := info.Sys().(*syscall.Stat_t); system.Uid != hostFirstID+devID || system.Gid != hostFirstID+devID {
			t.Errorf("%s belongs to %d:%d", name, system.Uid, system.Gid)
		}
	}
}

func TestSupplementaryGroupsCountInTheAPIAsInAShell(t *testing.T) {
	needRoot(t)
	w := start(t)
	path := secret(t)
	must(t, os.Chown(path, hostFirstID, hostFirstID+1500))
	must(t, os.Chmod(path, 0o640))
	if status, body := w.call("GET", "/files?path="+path, nil); status != 200 || string(body) != "secret" {
		t.Fatalf("%d %s", status, body)
	}
	if result := w.sh("cat " + path); result.stdout != "secret" {
		t.Fatalf("got %+v", result)
	}
}

func TestWithoutRootAChildHasNoCapabilityAndCanGainNone(t *testing.T) {
	needRoot(t)
	result := start(t).sh("grep ^Cap /proc/self/status")
	for _, set := range []string{"Inh", "Prm", "Eff", "Bnd", "Amb"} {
		if !strings.Contains(result.stdout, fmt.Sprintf("Cap%s:\t%016x\n", set, 0)) {
			t.Errorf("Cap%s is not empty: %s", set, result.stdout)
		}
	}
}

func TestWithoutRootTheAgentKeepsThreeCapabilities(t *testing.T) {
	needRoot(t)
	w := start(t)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.agentPID()))
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		must(t, err)
		for _, line := range []string{"CapPrm:\t00000000000000e0", "CapBnd:\t0000000000000000", "CapInh:\t0000000000000000"} {
			if !strings.Contains(string(status), line) {
				t.Fatalf("%s lacks %q", task, line)
			}
		}
	}
	if len(tasks) < 10 {
		t.Fatalf("only %d threads were looked at", len(tasks))
	}
}

func TestRootMayBeAskedForOnlyWhereItIsContained(t *testing.T) {
	needRoot(t)
	for _, user := range []string{"root", "0"} {
		if result := start(t).exec(object{"cmd": "id", "args": []string{"-u"}, "user": user}); result.status != 403 || !strings.Contains(result.reason, "root: none") {
			t.Errorf("none, %s: %+v", user, result)
		}
	}
	if result := start(t, "ALCOVE_ROOT=contained").exec(object{"cmd": "id", "args": []string{"-u"}, "user": "root"}); result.stdout != "0\n" {
		t.Errorf("contained: %+v", result)
	}
}

func TestAnUnknownUserIsTheRequestsFault(t *testing.T) {
	if result := start(t).exec(object{"cmd": "id", "user": "nobody-here"}); result.status != 400 || !strings.Contains(result.reason, "nobody-here") {
		t.Fatalf("got %+v", result)
	}
}

func TestUsersCannotReachTheAgent(t *testing.T) {
	needRoot(t)
	for _, root := range []string{"none", "contained"} {
		w := start(t, "ALCOVE_ROOT="+root)
		for _, attempt := range []string{
			"kill -TERM 1", "kill -KILL 1", "cat /proc/1/environ", "cat /proc/1/mem", "ls /proc/1/fd", "ls /proc/1/root/",
			"cat /proc/1/maps", "echo > /proc/1/oom_score_adj",
		} {
			if result := w.sh(attempt); result.code == 0 {
				t.Errorf("%s: %q worked: %s", root, attempt, result.stdout)
			}
		}
		if result := w.sh("echo alive"); result.stdout != "alive\n" {
			t.Errorf("%s: %+v", root, result)
		}
	}
}
