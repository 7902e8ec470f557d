package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type startupReport struct {
	ID       string
	State    string
	Revision int64
	Steps    []struct {
		Name, State, Error string
		ExitCode           *int   `json:"exit_code"`
		StartedAt, EndedAt string `json:"-"`
	}
}

func (w *workspace) begin(id string, steps ...object) {
	w.t.Helper()
	if status, body := w.call("POST", "/init", object{"startup": object{"id": id, "steps": steps}}); status != 204 {
		w.t.Fatalf("init: %d %s", status, body)
	}
}

// startupEnd follows the start-up by its revisions until it has ended.
func (w *workspace) startupEnd() startupReport {
	w.t.Helper()
	seen := int64(-1)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		_, body := w.call("GET", "/alcove/startup?wait=10s&seen="+strings.TrimSpace(jsonNumber(seen)), nil)
		var report startupReport
		must(w.t, json.Unmarshal(body, &report))
		if report.Revision == seen {
			w.t.Fatalf("the answer came without a change: %s", body)
		}
		if seen = report.Revision; report.State == "done" || report.State == "failed" {
			return report
		}
	}
	w.t.Fatal("the start-up did not end")
	return startupReport{}
}

func jsonNumber(n int64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func TestStepsRunInOrderAndAFailureDoesNotStopTheOthers(t *testing.T) {
	w := start(t)
	w.begin("boot-1",
		object{"name": "one", "kind": "script", "run": "echo first; echo why >&2; exit 7"},
		object{"name": "two", "kind": "script", "run": "echo second > $HOME/../home/second", "cwd": w.home},
	)
	report := w.startupEnd()
	if report.State != "failed" || report.Steps[0].State != "failed" || *report.Steps[0].ExitCode != 7 || !strings.Contains(report.Steps[0].Error, "why") {
		t.Fatalf("got %+v", report)
	}
	if os.Getuid() == 0 && report.Steps[1].State != "done" {
		t.Fatalf("got %+v", report.Steps[1])
	}
}

func TestARequiredStepThatFailsSkipsTheRest(t *testing.T) {
	w := start(t)
	w.begin("boot-1", object{"name": "one", "kind": "script", "run": "exit 1", "required": true}, object{"name": "two", "kind": "script", "run": "true"})
	if report := w.startupEnd(); report.Steps[1].State != "skipped" || report.State != "failed" {
		t.Fatalf("got %+v", report)
	}
}

func TestAnIdRunsOnceHoweverOftenItIsGiven(t *testing.T) {
	w := start(t)
	step := object{"name": "one", "kind": "script", "run": "echo x >> " + w.home + "/count", "cwd": "/"}
	w.begin("boot-1", step)
	w.startupEnd()
	w.begin("boot-1", step)
	w.begin("boot-2", step)
	eventually(t, "the second has run", func() bool {
		text, _ := os.ReadFile(w.home + "/count")
		return string(text) == "x\nx\n"
	})
}

func TestTheUsersLogoutFileHasNoSayInHowAScriptEnds(t *testing.T) {
	needRoot(t) // else the home is the tester's own
	w := start(t)
	must(t, os.WriteFile(filepath.Join(w.home, ".bash_logout"), []byte("false\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(w.home, ".bash_profile"), []byte("export SEEN=profile\n"), 0o644))
	w.begin("one", object{"name": "one", "kind": "script", "run": `set -e; test "$SEEN" = profile; exit 0`})
	if report := w.startupEnd(); report.State != "done" {
		t.Fatalf("got %+v", report)
	}
}

func TestAScriptThatTakesTooLongIsEndedAndSaysSo(t *testing.T) {
	w := start(t)
	w.begin("boot-1", object{"name": "slow", "kind": "script", "run": "sleep 7890.1", "timeout_ms": 200})
	if report := w.startupEnd(); !strings.Contains(report.Steps[0].Error, "timeout") {
		t.Fatalf("got %+v", report)
	}
}

func TestLogsAreFollowedFromAnOffset(t *testing.T) {
	w := start(t)
	w.begin("boot-1", object{"name": "one", "kind": "script", "run": "echo a; echo b; printf 'x\\ry\\rz\\n'; echo c"})
	w.startupEnd()
	response := w.request("GET", "/alcove/logs?follow=1&offset=1", nil, "X-Alcove-Control", controlKey)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	var got []string
	for len(got) < 4 && lines.Scan() {
		var line struct {
			Offset       int64
			Source, Line string
			At           time.Time
		}
		must(t, json.Unmarshal(lines.Bytes(), &line))
		if line.Source != "one" || line.At.IsZero() || line.Offset != int64(len(got)+1) {
			t.Fatalf("got %+v", line)
		}
		got = append(got, line.Line)
	}
	if strings.Join(got, " ") != "b x z c" {
		t.Fatalf("got %v", got)
	}
}

func TestStepsThatAreNotRightAreRefused(t *testing.T) {
	w := start(t)
	for name, step := range map[string]object{
		"kind":          {"kind": "other"},
		"no script":     {"kind": "script"},
		"ext":           {"kind": "clone", "url": "ext::sh -c id", "dir": "x"},
		"file":          {"kind": "clone", "url": "file:///etc", "dir": "x"},
		"path":          {"kind": "clone", "url": "/etc", "dir": "x"},
		"option":        {"kind": "clone", "url": "--upload-pack=id", "dir": "x"},
		"host option":   {"kind": "clone", "url": "ssh://-oProxyCommand=id/x", "dir": "x"},
		"password":      {"kind": "clone", "url": "https://u:p@example.org/x", "dir": "x"},
		"branch option": {"kind": "clone", "url": "https://example.org/x", "dir": "x", "branch": "--x"},
		"outside":       {"kind": "clone", "url": "https://example.org/x", "dir": "../x"},
		"absolute":      {"kind": "clone", "url": "https://example.org/x", "dir": "/x"},
		"home itself":   {"kind": "clone", "url": "https://example.org/x", "dir": "."},
		"no dir":        {"kind": "clone", "url": "https://example.org/x"},
		"newline":       {"kind": "clone", "url": "https://example.org/x\n", "dir": "x"},
	} {
		if status, body := w.call("POST", "/init", object{"startup": object{"id": name, "steps": []object{step}}}); status != 400 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestARepositoryIsClonedWithItsAuthorAndOnlyOnce(t *testing.T) {
	needRoot(t)
	w := start(t)
	w.loopback()
	address := w.serveGit()
	clone := object{
		"name": "clone", "kind": "clone", "url": "http://" + address + "/api.git", "branch": "work", "dir": "api",
		"author_name": "Ada", "author_email": "ada@example.org",
	}
	w.begin("boot-1", clone, object{"name": "setup", "kind": "script", "run": "pwd; cat README"})
	if report := w.startupEnd(); report.State != "done" {
		_, logs := w.call("GET", "/alcove/logs", nil)
		t.Fatalf("%+v\n%s", report, logs)
	}
	result := w.exec(object{"cmd": "sh", "args": []string{"-c", "git branch --show-current; git config user.name; git config --global user.email; cat README"}, "cwd": "~/api"})
	if result.stdout != "work\nAda\nada@example.org\nhello\n" {
		t.Fatalf("got %+v", result)
	}
	if _, logs := w.call("GET", "/alcove/logs", nil); !strings.Contains(string(logs), w.home+"/api") || !strings.Contains(string(logs), "Cloning into") {
		t.Fatalf("logs: %s", logs)
	}
	w.begin("boot-2", clone)
	if report := w.startupEnd(); report.Steps[0].State != "skipped" {
		t.Fatalf("got %+v", report)
	}
}

func TestACloneThatFailsSaysWhyAndLeavesTheWorkspaceUsable(t *testing.T) {
	needRoot(t)
	w := start(t)
	w.loopback()
	address := w.serveGit()
	w.begin("boot-1", object{"name": "clone", "kind": "clone", "url": "http://" + address + "/none.git", "dir": "none"})
	report := w.startupEnd()
	if report.State != "failed" || !strings.Contains(report.Steps[0].Error, "not found") {
		t.Fatalf("got %+v", report)
	}
	if result := w.sh("echo alive"); result.stdout != "alive\n" {
		t.Fatalf("got %+v", result)
	}
}

// serveGit serves one repository with a branch `work` over HTTP, inside the workspace's network: through a
// socket on the outside and a small relay inside.
func (w *workspace) serveGit() string {
	w.t.Helper()
	root := w.t.TempDir()
	bare := filepath.Join(root, "api.git")
	for _, command := range [][]string{
		{"git", "init", "-q", "-b", "main", root + "/work"},
		{"sh", "-c", "cd " + root + "/work && echo hello > README && git add . && git -c user.name=a -c user.email=a@b commit -qm one && git branch work"},
		{"git", "clone", "-q", "--bare", root + "/work", bare},
	} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %v %s", command, err, output)
		}
	}
	socket := filepath.Join(filepath.Dir(w.socket), "git.sock")
	listener, err := net.Listen("unix", socket)
	must(w.t, err)
	must(w.t, os.Chmod(socket, 0o666))
	home, err := exec.Command("git", "--exec-path").Output()
	must(w.t, err)
	server := &http.Server{Handler: &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(home)), "git-http-backend"),
		Stderr: io.Discard,
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}}
	go func() { _ = server.Serve(listener) }()
	w.t.Cleanup(func() { server.Close() })
	w.listen(`
import socket, threading
def pump(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
s = socket.create_server(("127.0.0.1", 8418)); print("ready")
while True:
    c, _ = s.accept()
    u = socket.socket(socket.AF_UNIX); u.connect("` + socket + `")
    threading.Thread(target=pump, args=(c, u), daemon=True).start()
    threading.Thread(target=pump, args=(u, c), daemon=True).start()
`)
	return "127.0.0.1:8418"
}
