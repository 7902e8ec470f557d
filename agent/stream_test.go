package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"alcove.dev/agent/internal/frame"
)

// listen starts a server in the workspace's own network; it prints when it is ready.
func (w *workspace) listen(script string) *session {
	w.t.Helper()
	s := w.upgrade("process=1", object{"cmd": "python3", "args": []string{"-u", "-c", script}})
	s.until(w.t, saying("ready"))
	return s
}

// loopback brings the workspace's loopback up, as a driver does.
func (w *workspace) loopback() {
	w.t.Helper()
	if os.Getuid() == 0 {
		w.enter("net", "ip", "link", "set", "lo", "up")
	}
}

const reverser = `
import socket
s = socket.create_server(("%s", 8765), family=socket.%s)
print("ready")
while True:
    c, _ = s.accept()
    data = b""
    while piece := c.recv(65536):
        data += piece
    c.sendall(data[::-1])
    c.close()
`

func script(host, family string) string {
	return strings.Replace(strings.Replace(reverser, "%s", host, 1), "%s", family, 1)
}

func TestAPortStreamPassesTheEndOfEachDirectionOn(t *testing.T) {
	w := start(t)
	w.loopback()
	w.listen(script("127.0.0.1", "AF_INET"))
	s := w.upgrade("port=8765", nil)
	sent := bytes.Repeat([]byte("abcdefgh"), 300_000)
	go func() {
		_, _ = s.Write(sent)
		_ = s.CloseWrite()
	}()
	got, err := io.ReadAll(s.buffered)
	must(t, err)
	if len(got) != len(sent) || got[0] != 'h' || got[len(got)-1] != 'a' {
		t.Fatalf("got %d bytes of %d", len(got), len(sent))
	}
}

func TestAPortThatListensOnIPv6AloneIsReached(t *testing.T) {
	w := start(t)
	w.loopback()
	w.listen(script("::1", "AF_INET6"))
	s := w.upgrade("port=8765", nil)
	_, _ = s.Write([]byte("abc"))
	_ = s.CloseWrite()
	if got, _ := io.ReadAll(s.buffered); string(got) != "cba" {
		t.Fatalf("got %q, status %d %s", got, s.status, s.body)
	}
}

func TestWhatTheClientSentWithItsRequestIsNotLost(t *testing.T) {
	w := start(t)
	w.loopback()
	w.listen(script("127.0.0.1", "AF_INET"))
	conn, err := net.Dial("unix", w.socket)
	must(t, err)
	defer conn.Close()
	head := "POST /alcove/stream?port=8765 HTTP/1.1\r\nHost: a\r\nX-Alcove-Control: " + controlKey + "\r\nConnection: Upgrade\r\nUpgrade: alcove-stream\r\n\r\n"
	_, _ = conn.Write([]byte(head + "early"))
	_ = conn.(*net.UnixConn).CloseWrite()
	got, _ := io.ReadAll(conn)
	if !strings.HasSuffix(string(got), "\r\n\r\nylrae") {
		t.Fatalf("got %q", got)
	}
}

func TestAPortWhereNobodyListensIs502WithAReason(t *testing.T) {
	w := start(t)
	w.loopback()
	s := w.upgrade("port=9", nil)
	if s.status != 502 || !strings.Contains(s.body, "port 9") {
		t.Fatalf("got %d %s", s.status, s.body)
	}
}

func TestOnlyTheWorkspaceItselfCanBeReached(t *testing.T) {
	w := start(t)
	for _, query := range []string{"port=80&host=10.0.0.1", "port=80&host=169.254.169.254", "port=80&host=example.org", "port=0", "port=70000", "port=x", "nothing"} {
		if s := w.upgrade(query, nil); s.status != 400 {
			t.Errorf("%s: %d %s", query, s.status, s.body)
		}
	}
}

func TestAUnixSocketIsReachedWithTheUsersRights(t *testing.T) {
	w := start(t)
	path := w.home + "/server.sock"
	w.listen(`
import socket
s = socket.socket(socket.AF_UNIX); s.bind("` + path + `"); s.listen(); print("ready")
c, _ = s.accept(); c.sendall(b"hello"); c.close()
`)
	s := w.upgrade("unix="+path, nil)
	if got, _ := io.ReadAll(s.buffered); string(got) != "hello" {
		t.Fatalf("got %q, status %d %s", got, s.status, s.body)
	}
	if os.Getuid() != 0 {
		return
	}
	must(t, os.Chmod(path, 0o600))
	must(t, os.Chown(path, 0, 0))
	if s := w.upgrade("unix="+path, nil); s.status != 502 || !strings.Contains(s.body, "permission denied") {
		t.Fatalf("got %d %s", s.status, s.body)
	}
}

func TestAProcessStreamCarriesInputAndItsEnd(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "cat; echo over >&2; exit 5"}, "stdin": true})
	s.send(t, frame.Stdin, "one ")
	s.until(t, saying("one "))
	s.send(t, frame.Stdin, "two")
	s.send(t, frame.StdinEOF, "")
	result := s.until(t, ended)
	if result.stdout != "two" || result.stderr != "over\n" || result.code != 5 {
		t.Fatalf("got %+v", result)
	}
}

func TestAProcessStreamCarriesSignals(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done"}})
	s.until(t, saying("ready"))
	s.send(t, frame.Signal, `{"signal":"USR1"}`)
	if result := s.until(t, ended); !strings.Contains(result.stdout, "caught") || result.code != 9 {
		t.Fatalf("got %+v", result)
	}
}

func TestALostStreamEndsItsProcessEvenWhileItsInputIsNotTaken(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "sleep", "args": []string{"4567.8"}, "stdin": true})
	go func() { _, _ = s.Write(frame.Append(nil, frame.Stdin, make([]byte, 900_000))) }()
	eventually(t, "it runs", func() bool { return len(running(t, "sleep 4567.8")) > 0 })
	s.Close()
	eventually(t, "it is gone", func() bool { return len(running(t, "sleep 4567.8")) == 0 })
}

func TestAFrameThatIsTooLongEndsTheStream(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "cat", "stdin": true})
	_, err := s.Write([]byte{0, 0xff, 0xff, 0xff, 0xff})
	must(t, err)
	if _, err := io.Copy(io.Discard, s.buffered); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
}

func TestATerminalHasItsSizeAndTakesANewOne(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"}, "pty": object{"cols": 100, "rows": 30}})
	if first := s.until(t, saying("ready")); !strings.Contains(first.stdout, "30 100") {
		t.Fatalf("got %+v", first)
	}
	s.send(t, frame.Resize, `{"cols":90,"rows":20}`)
	if result := s.until(t, ended); !strings.Contains(result.stdout, "20 90") {
		t.Fatalf("got %+v", result)
	}
}

func TestCtrlCInterruptsWhatRunsInATerminal(t *testing.T) {
	w := start(t)
	s := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "echo ready; exec sleep 5678.9"}, "pty": object{}, "stdin": true})
	s.until(t, saying("ready"))
	eventually(t, "sleep runs", func() bool { return len(running(t, "sleep 5678.9")) > 0 })
	s.send(t, frame.Stdin, "\x03")
	if result := s.until(t, ended); result.signal != "SIGINT" {
		t.Fatalf("got %+v", result)
	}
}

func TestATaggedTerminalSurvivesItsClientAndShowsItsPast(t *testing.T) {
	w := start(t)
	first := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "echo before; cat"}, "pty": object{}, "stdin": true, "tag": "main", "detach": true})
	first.until(t, saying("before"))
	first.Close()

	second := w.upgrade("attach=1&replay=1", object{"tag": "main"})
	second.until(t, saying("before"))
	third := w.upgrade("attach=1", object{"tag": "main"})
	third.until(t, func(r ran) bool { return r.pid > 0 })
	second.send(t, frame.Stdin, "both\n")
	second.until(t, saying("both"))
	if seen := third.until(t, saying("both")); strings.Contains(seen.stdout, "before") {
		t.Fatalf("who did not ask for the past got it: %q", seen.stdout)
	}
	second.Close()
	third.send(t, frame.StdinEOF, "")
	if result := third.until(t, ended); result.code != 0 {
		t.Fatalf("got %+v", result)
	}
}

func TestAReaderThatStopsReadingDoesNotStopTheOthersForLong(t *testing.T) {
	w := start(t)
	first := w.upgrade("process=1", object{"cmd": "sh", "args": []string{"-c", "read x; seq 1 400000; echo all"}, "pty": object{}, "stdin": true, "tag": "busy", "detach": true})
	stuck := w.upgrade("attach=1", object{"tag": "busy"})
	stuck.until(t, func(r ran) bool { return r.pid > 0 })
	first.send(t, frame.Stdin, "\n")
	must(t, first.SetDeadline(time.Now().Add(2*patience)))
	if result := first.until(t, ended); !strings.Contains(result.stdout, "all") {
		t.Fatalf("got %d bytes", len(result.stdout))
	}
}

func TestATerminalBeginsWithTheModesOfItsClient(t *testing.T) {
	w := start(t)
	const interrupt, erase, quit, canonical, echo, utf8, newline, speed = 1, 3, 2, 51, 53, 42, 72, 129
	modes := map[int]uint32{interrupt: 24, erase: 8, quit: 255, canonical: 0, echo: 0, utf8: 1, newline: 0, speed: 1}
	s := w.upgrade("process=1", object{"cmd": "stty", "args": []string{"-a"}, "pty": object{"modes": modes}})
	got := s.until(t, ended).stdout
	for _, wanted := range []string{"intr = ^X;", "erase = ^H;", "quit = <undef>;", " -icanon ", " -echo ", " iutf8", " -onlcr ", " isig ", "speed 38400 baud"} {
		if !strings.Contains(strings.ReplaceAll(got, "\n", " "), wanted) {
			t.Errorf("no %q in %q", wanted, got)
		}
	}
}

func TestACodeThatNoModeHasIsRefused(t *testing.T) {
	w := start(t)
	if s := w.upgrade("process=1", object{"cmd": "true", "pty": object{"modes": object{"256": 1}}}); s.status != 400 {
		t.Fatalf("got %d %s", s.status, s.body)
	}
}
