package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// wireEvent is what process and watch streams send.
type wireEvent struct {
	Event struct {
		Start *struct{ PID int }
		Data  *struct{ Stdout, Stderr, PTY []byte }
		End   *struct {
			ExitCode      int
			Exited        bool
			Status, Error string
		}
		Keepalive *struct{}
	}
	Start      *struct{}
	Filesystem *struct{ Name, Type string }
}

// wire is one server stream.
type wire struct {
	t    testing.TB
	body io.ReadCloser
	pid  int
}

func envelope(flags byte, message any) []byte {
	text, _ := json.Marshal(message)
	head := binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(text)))
	return append(head, text...)
}

func (w *workspace) stream(route string, message any, headers ...string) *wire {
	w.t.Helper()
	headers = append(headers, "Content-Type", "application/connect+json", "Connect-Protocol-Version", "1", "X-Alcove-Control", controlKey)
	response := w.request("POST", route, envelope(0, message), headers...)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/connect+json" {
		w.t.Fatalf("%s: %d %s", route, response.StatusCode, response.Header.Get("Content-Type"))
	}
	w.t.Cleanup(func() { response.Body.Close() })
	return &wire{t: w.t, body: response.Body}
}

// next gives the next message, or the end: nil and the error in it.
func (s *wire) next() (*wireEvent, string) {
	s.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(s.body, head[:]); err != nil {
		s.t.Fatalf("read an envelope: %v", err)
	}
	text := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(s.body, text); err != nil {
		s.t.Fatalf("read an envelope: %v", err)
	}
	if head[0] == 2 {
		var end struct {
			Error struct{ Code, Message string }
		}
		must(s.t, json.Unmarshal(text, &end))
		return nil, end.Error.Code
	}
	event := &wireEvent{}
	must(s.t, json.Unmarshal(text, event))
	return event, ""
}

// collect reads to the end.
func (s *wire) collect() (stdout, stderr string, end *wireEvent, code string) {
	s.t.Helper()
	for {
		event, failure := s.next()
		switch {
		case event == nil:
			return stdout, stderr, end, failure
		case event.Event.Start != nil:
			s.pid = event.Event.Start.PID
		case event.Event.Data != nil:
			stdout += string(event.Event.Data.Stdout) + string(event.Event.Data.PTY)
			stderr += string(event.Event.Data.Stderr)
		case event.Event.End != nil:
			end = event
		}
	}
}

func startMessage(line string, stdin bool) object {
	return object{"process": object{"cmd": "/bin/bash", "args": []string{"-l", "-c", line}, "envs": object{"A": "b"}}, "stdin": stdin}
}

func TestEnvdStartGivesStartDataAndEnd(t *testing.T) {
	s := start(t).stream("/process.Process/Start", startMessage("echo $A; echo e >&2; exit 3", false))
	stdout, stderr, end, failure := s.collect()
	if stdout != "b\n" || stderr != "e\n" || s.pid == 0 || failure != "" {
		t.Fatalf("%q %q %d %q", stdout, stderr, s.pid, failure)
	}
	if e := end.Event.End; e.ExitCode != 3 || !e.Exited || e.Status != "exit status 3" {
		t.Fatalf("got %+v", e)
	}
}

func TestEnvdInputSignalsAndEndOfInput(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("cat", true))
	event, _ := s.next()
	process := object{"pid": event.Event.Start.PID}
	for _, part := range []string{"one ", "two"} {
		if status, body := w.call("POST", "/process.Process/SendInput", object{"process": process, "input": object{"stdin": base64.StdEncoding.EncodeToString([]byte(part))}}); status != 200 || string(body) != "{}" {
			t.Fatalf("%d %s", status, body)
		}
	}
	messages := append(envelope(0, object{"start": object{"process": process}}), envelope(0, object{"data": object{"input": object{"stdin": "IHRocmVl"}}})...)
	messages = append(messages, envelope(0, object{"keepalive": object{}})...)
	if status, body := w.call("POST", "/process.Process/StreamInput", messages, "Content-Type", "application/connect+json"); status != 200 || !bytes.Contains(body, envelope(2, object{})) {
		t.Fatalf("%d %q", status, body)
	}
	w.call("POST", "/process.Process/CloseStdin", object{"process": process})
	stdout, _, end, _ := s.collect()
	if stdout != "one two three" || end.Event.End.ExitCode != 0 {
		t.Fatalf("%q %+v", stdout, end)
	}
	if status, body := w.call("POST", "/process.Process/SendSignal", object{"process": process, "signal": "SIGNAL_SIGKILL"}); status != 404 || !strings.Contains(string(body), `"code":"not_found"`) {
		t.Fatalf("%d %s", status, body)
	}
}

func TestEnvdAKilledProcessSaysSo(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("exec sleep 8901.2", false))
	event, _ := s.next()
	w.call("POST", "/process.Process/SendSignal", object{"process": object{"pid": event.Event.Start.PID}, "signal": "SIGNAL_SIGKILL"})
	if _, _, end, _ := s.collect(); end.Event.End.ExitCode != -1 || end.Event.End.Exited || end.Event.End.Status != "signal: killed" {
		t.Fatalf("got %+v", end)
	}
}

func TestEnvdATimeoutEndsTheStreamWithItsCode(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("sleep 9012.3", false), "Connect-Timeout-Ms", "300")
	if _, _, end, failure := s.collect(); failure != "deadline_exceeded" || end != nil {
		t.Fatalf("%q %+v", failure, end)
	}
	eventually(t, "it is gone", func() bool { return len(running(t, "sleep 9012.3")) == 0 })
}

func TestEnvdAClientThatGoesAwayLeavesItsCommandRunning(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("while ! [ -e "+w.home+"/go ]; do sleep 0.02; done; echo late; sleep 0.2; echo later", false))
	event, _ := s.next()
	s.body.Close()
	second := w.stream("/process.Process/Connect", object{"process": object{"pid": event.Event.Start.PID}})
	if event, _ := second.next(); event.Event.Start == nil {
		t.Fatal("no start event")
	}
	must(t, os.WriteFile(w.home+"/go", nil, 0o644))
	if stdout, _, end, _ := second.collect(); stdout != "late\nlater\n" || end.Event.End.ExitCode != 0 {
		t.Fatalf("%q %+v", stdout, end)
	}
}

func TestEnvdErrorsHaveTheCodesThatClientsKnow(t *testing.T) {
	w := start(t)
	for name, c := range map[string]struct {
		message any
		headers []string
		want    string
	}{
		"user":    {startMessage("true", false), []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("nobody-here:"))}, "unauthenticated"},
		"cwd":     {object{"process": object{"cmd": "true", "cwd": "/no/such"}}, nil, "invalid_argument"},
		"command": {object{"process": object{"cmd": "/no/such"}}, nil, "not_found"},
		"json":    {[]int{1}, nil, "invalid_argument"},
	} {
		s := w.stream("/process.Process/Start", c.message, c.headers...)
		if _, _, _, failure := s.collect(); failure != c.want {
			t.Errorf("%s: %q", name, failure)
		}
	}
	if status, _ := w.call("POST", "/process.Process/Start", object{}); status != 415 {
		t.Errorf("a unary start: %d", status)
	}
}

func TestEnvdTheCustomaryUserIsTheDefaultUser(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("id -u", false), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:")))
	if stdout, _, _, failure := s.collect(); failure != "" || stdout == "" {
		t.Fatalf("%q %q", stdout, failure)
	}
}

func TestEnvdASilentStreamIsKeptAlive(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", startMessage("sleep 30", false), "Keepalive-Ping-Interval", "1")
	_, _ = s.next()
	if event, _ := s.next(); event.Event.Keepalive == nil {
		t.Fatalf("got %+v", event)
	}
}

func TestEnvdATerminalIsUpdated(t *testing.T) {
	w := start(t)
	s := w.stream("/process.Process/Start", object{"process": object{"cmd": "/bin/cat"}, "pty": object{"size": object{"cols": 80, "rows": 24}}, "tag": "term"})
	event, _ := s.next()
	if status, body := w.call("POST", "/process.Process/Update", object{"process": object{"tag": "term"}, "pty": object{"size": object{"cols": 10, "rows": 5}}}); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	w.call("POST", "/process.Process/SendInput", object{"process": object{"pid": event.Event.Start.PID}, "input": object{"pty": "eAo="}})
	if event, _ := s.next(); string(event.Event.Data.PTY) == "" {
		t.Fatalf("got %+v", event)
	}
	if status, _ := w.call("POST", "/process.Process/SendInput", object{"process": object{"tag": "term"}, "input": object{"stdin": "eAo="}}); status != 400 {
		t.Fatalf("stdin for a terminal: %d", status)
	}
}

func TestEnvdAWatchStreamTellsOfChanges(t *testing.T) {
	w := start(t)
	must(t, os.Mkdir(w.home+"/d", 0o777))
	must(t, os.Chmod(w.home+"/d", 0o777))
	s := w.stream("/filesystem.Filesystem/WatchDir", object{"path": w.home + "/d", "recursive": true})
	if event, _ := s.next(); event.Start == nil {
		t.Fatalf("got %+v", event)
	}
	w.sh("mkdir -p " + w.home + "/d/a/b")
	eventually(t, "the new directories are watched", func() bool {
		w.sh("touch " + w.home + "/d/a/b/probe; rm " + w.home + "/d/a/b/probe")
		event, _ := s.next()
		return event.Filesystem != nil && event.Filesystem.Name == "a/b/probe"
	})
	w.put(w.home+"/d/a/b/file", []byte("x"))
	var kinds []string
	for len(kinds) < 2 {
		event, _ := s.next()
		if event.Filesystem.Name == "a/b/file" {
			kinds = append(kinds, event.Filesystem.Type)
		}
		if strings.Contains(event.Filesystem.Name, ".alcove-") {
			t.Fatalf("a temporary file is told of: %+v", event.Filesystem)
		}
	}
	if strings.Join(kinds, " ") != "EVENT_TYPE_CREATE EVENT_TYPE_WRITE" {
		t.Fatalf("got %v", kinds)
	}
}

func TestEnvdAWatcherIsPolledAndRemoved(t *testing.T) {
	w := start(t)
	_, body := w.call("POST", "/filesystem.Filesystem/CreateWatcher", object{"path": w.home, "includeEntry": true})
	var created struct{ WatcherID string }
	must(t, json.Unmarshal(body, &created))
	must(t, os.WriteFile(w.home+"/new", []byte("x"), 0o644))
	eventually(t, "the change is told", func() bool {
		_, body := w.call("POST", "/filesystem.Filesystem/GetWatcherEvents", object{"watcherId": created.WatcherID})
		return strings.Contains(string(body), `"name":"new","type":"EVENT_TYPE_CREATE","entry":{`)
	})
	for _, want := range []int{200, 404} {
		if status, body := w.call("POST", "/filesystem.Filesystem/RemoveWatcher", object{"watcherId": created.WatcherID}); status != want {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _ := w.call("POST", "/filesystem.Filesystem/CreateWatcher", object{"path": w.home + "/none"}); status != 404 {
		t.Fatalf("got %d", status)
	}
}

func TestEnvdAFloodOfChangesIsSaidToBeIncomplete(t *testing.T) {
	w := start(t)
	_, body := w.call("POST", "/filesystem.Filesystem/CreateWatcher", object{"path": w.home})
	var created struct{ WatcherID string }
	must(t, json.Unmarshal(body, &created))
	for i := range 6000 {
		must(t, os.WriteFile(w.home+"/f"+string(rune('a'+i%26))+strings.Repeat("x", i%100), nil, 0o644))
		must(t, os.Remove(w.home+"/f"+string(rune('a'+i%26))+strings.Repeat("x", i%100)))
	}
	time.Sleep(50 * time.Millisecond)
	_, body = w.call("POST", "/filesystem.Filesystem/GetWatcherEvents", object{"watcherId": created.WatcherID})
	var answer struct{ Events []struct{ Name, Type string } }
	must(t, json.Unmarshal(body, &answer))
	if n := len(answer.Events); n == 0 || n > 4096 || answer.Events[n-1].Type != "EVENT_TYPE_UNSPECIFIED" {
		t.Fatalf("%d events", n)
	}
}
