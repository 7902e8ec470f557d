package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"alcove.dev/agent/internal/frame"
)

func TestOutputErrorsAndCodeComeBack(t *testing.T) {
	result := start(t).sh("echo out; echo err >&2; exit 3")
	if result.stdout != "out\n" || result.stderr != "err\n" || result.code != 3 || result.signal != "" {
		t.Fatalf("got %+v", result)
	}
}

func TestAnEchoIsOneWriteOfThreeFrames(t *testing.T) {
	w := start(t)
	response := w.request("POST", "/alcove/exec", object{"cmd": "/bin/echo", "args": []string{"hi"}}, "X-Alcove-Control", controlKey)
	defer response.Body.Close()
	// A length, not chunks: the whole answer was there when its head was written.
	if response.ContentLength <= 0 {
		t.Fatal("the answer to an echo is sent in chunks")
	}
	body, _ := io.ReadAll(response.Body)
	if result := w.read(body); result.frames != 3 || result.stdout != "hi\n" {
		t.Fatalf("got %+v", result)
	}
}

func TestStdinIsGivenWholeAndThenEnds(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	result := start(t).exec(object{"cmd": "wc", "args": []string{"-c"}, "stdin": base64.StdEncoding.EncodeToString([]byte(content))})
	if strings.TrimSpace(result.stdout) != "1000000" {
		t.Fatalf("got %+v", result)
	}
}

func TestACommandThatIsNotThereIs127AndOneThatCannotRunIs126(t *testing.T) {
	w := start(t)
	if result := w.exec(object{"cmd": "no-such-command"}); result.code != 127 || !strings.Contains(result.reason, "no-such-command") {
		t.Fatalf("got %+v", result)
	}
	if result := w.exec(object{"cmd": "/etc/passwd"}); result.code != 126 {
		t.Fatalf("got %+v", result)
	}
}

func TestAWorkingDirectoryThatIsNotThereIsTheRequestsFault(t *testing.T) {
	if result := start(t).exec(object{"cmd": "true", "cwd": "/no/such"}); result.status != 400 || !strings.Contains(result.reason, "/no/such") {
		t.Fatalf("got %+v", result)
	}
}

func TestATimeoutEndsTheWholeTree(t *testing.T) {
	w := start(t)
	// A child in a session of its own, with a parent that lives, as a daemon under a shell.
	result := w.exec(object{"cmd": "/bin/sh", "args": []string{"-c", "setsid sleep 1234.5 & sleep 1234.5 & wait"}, "timeout_ms": 300})
	if result.code != 137 || result.signal != "SIGKILL" || !result.timedOut || !strings.Contains(result.reason, "timeout") {
		t.Fatalf("got %+v", result)
	}
	if left := running(t, "sleep 1234.5"); len(left) > 0 {
		t.Fatalf("still running: %v", left)
	}
}

func TestAForkBombAtTheProcessLimitEndsNeitherTheAgentNorItsPlace(t *testing.T) {
	needRoot(t)
	w := start(t)
	w.limitProcesses(80)
	bomb := "f() { (f) & (f) & wait; }; f"
	result := w.exec(object{"cmd": "/bin/bash", "args": []string{"-c", bomb}, "timeout_ms": 1000})
	if !result.timedOut {
		t.Fatalf("got %+v", result)
	}
	// Once more, while requests of all kinds come in.
	var group sync.WaitGroup
	for i := range 30 {
		group.Add(1)
		go func() {
			defer group.Done()
			if i == 0 {
				w.exec(object{"cmd": "/bin/bash", "args": []string{"-c", bomb}, "timeout_ms": 1500})
				return
			}
			w.exec(object{"cmd": "/bin/true"})
			w.call("POST", "/filesystem.Filesystem/ListDir", object{"path": "/usr/bin"})
			w.call("GET", "/files?path=/etc/passwd", nil)
			w.call("GET", "/alcove/stats", nil)
		}()
	}
	group.Wait()
	eventually(t, "it works as before", func() bool { return w.sh("echo alive").stdout == "alive\n" })
}

func TestAClientThatGoesAwayTakesItsProcessWithIt(t *testing.T) {
	w := start(t)
	response := w.request("POST", "/alcove/exec", object{"cmd": "/bin/sh", "args": []string{"-c", "echo on; sleep 2345.6"}}, "X-Alcove-Control", controlKey)
	if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { return len(running(t, "sleep 2345.6")) > 0 })
	response.Body.Close()
	w.client.CloseIdleConnections()
	eventually(t, "it is gone", func() bool { return len(running(t, "sleep 2345.6")) == 0 })
}

func TestADetachedProcessOutlivesItsClient(t *testing.T) {
	w := start(t)
	response := w.request("POST", "/alcove/exec", object{"cmd": "sleep", "args": []string{"3456.7"}, "detach": true, "tag": "service"}, "X-Alcove-Control", controlKey)
	_, _ = io.ReadFull(response.Body, make([]byte, 5))
	response.Body.Close()
	w.client.CloseIdleConnections()
	_, body := w.call("POST", "/process.Process/List", object{})
	if !strings.Contains(string(body), `"tag":"service"`) {
		t.Fatalf("got %s", body)
	}
}

func TestABackgroundProcessDoesNotHoldUpTheExit(t *testing.T) {
	began := time.Now()
	result := start(t).sh("sleep 30 & echo done")
	if result.stdout != "done\n" || result.code != 0 || time.Since(began) > 5*time.Second {
		t.Fatalf("got %+v after %s", result, time.Since(began))
	}
}

func TestABackgroundProcessMayWriteAfterItsParentHasEnded(t *testing.T) {
	w := start(t)
	marker := w.home + "/survived"
	w.sh("(sleep 0.4; echo late; echo late; touch " + marker + ") & exit 0")
	eventually(t, "the background process went on past its writes", func() bool { _, err := os.Stat(marker); return err == nil })
}

func TestOutputOverTheLimitIsCutAndSaidToBe(t *testing.T) {
	result := start(t).exec(object{"cmd": "/bin/sh", "args": []string{"-c", "head -c 5000000 /dev/zero; exit 4"}, "output_limit": 1000})
	if len(result.stdout) != 1000 || !result.truncated || result.code != 4 {
		t.Fatalf("got %d bytes, truncated %v, code %d", len(result.stdout), result.truncated, result.code)
	}
}

func TestAMillionLinesArriveWholeAndInOrder(t *testing.T) {
	result := start(t).exec(object{"cmd": "seq", "args": []string{"1", "1000000"}})
	lines := strings.Split(strings.TrimSpace(result.stdout), "\n")
	if len(lines) != 1_000_000 || lines[999_999] != "1000000" || lines[500_000] != "500001" {
		t.Fatalf("%d lines", len(lines))
	}
}

func TestAHundredExecsAtOnceAllAnswer(t *testing.T) {
	w := start(t)
	var group sync.WaitGroup
	for i := range 100 {
		group.Add(1)
		go func() {
			defer group.Done()
			if result := w.exec(object{"cmd": "echo", "args": []string{fmt.Sprint(i)}}); result.stdout != fmt.Sprintln(i) || result.code != 0 {
				t.Errorf("exec %d: %+v", i, result)
			}
		}()
	}
	group.Wait()
}

func TestAWriterThatNobodyReadsIsHeldUpAndCostsNoMemory(t *testing.T) {
	w := start(t)
	stream := w.upgrade("process=1", object{"cmd": "/bin/sh", "args": []string{"-c", "head -c 10000000000 /dev/zero; echo finished > " + w.home + "/finished"}})
	eventually(t, "the writer is held up", func() bool { return blocked(t, "head -c 10000000000") })
	if kib := w.memory(); kib > 40_000 {
		t.Fatalf("the agent has %d KiB of its own", kib)
	}
	stream.Close()
	eventually(t, "the writer is gone", func() bool { return len(running(t, "head -c 10000000000")) == 0 })
}

func TestAChildHasThreeDescriptorsAndNothingOfTheAgentsEnvironment(t *testing.T) {
	w := start(t)
	result := w.sh("ls /proc/self/fd; env")
	fields := strings.Fields(result.stdout)
	// ls itself opens the directory that it lists.
	if !slices.Equal(fields[:4], []string{"0", "1", "2", "3"}) || strings.Contains(result.stdout, "\n4\n") {
		t.Fatalf("descriptors: %s", result.stdout)
	}
	if strings.Contains(result.stdout, "ALCOVE") {
		t.Fatalf("environment: %s", result.stdout)
	}
}

func TestTheEnvironmentComesFromImageClaimAndCallInThisOrder(t *testing.T) {
	w := start(t, `ALCOVE_IMAGE_ENV=["A=image","B=image","C=image","HOME=/root"]`)
	status, body := w.call("POST", "/init", object{"env": object{"B": "claim", "C": "claim"}})
	if status != 204 {
		t.Fatalf("init: %d %s", status, body)
	}
	result := w.exec(object{"cmd": "/bin/sh", "args": []string{"-c", "echo $A $B $C $HOME"}, "env": object{"C": "call"}})
	if os.Getuid() == 0 && result.stdout != "image claim call "+w.home+"\n" {
		t.Fatalf("got %q", result.stdout)
	}
	if !strings.HasPrefix(result.stdout, "image claim call ") {
		t.Fatalf("got %q", result.stdout)
	}
	w.call("POST", "/init", object{"env": object{}})
	if result := w.sh("echo $B"); result.stdout != "image\n" {
		t.Fatalf("the second claim left something of the first: %q", result.stdout)
	}
}

func TestTextIsUTF8UnlessALocaleIsGiven(t *testing.T) {
	w := start(t)
	for given, want := range map[string]string{"": "C.UTF-8", "LANG": "", "LC_ALL": "", "LC_CTYPE": "POSIX"} {
		env := object{}
		if given != "" {
			env[given] = "POSIX"
		}
		result := w.exec(object{"cmd": "/bin/sh", "args": []string{"-c", "echo -n $LC_CTYPE"}, "env": env})
		if result.stdout != want {
			t.Errorf("with %q: LC_CTYPE is %q", given, result.stdout)
		}
	}
}

func TestABodyThatIsNotWhatItShouldBeIsRefused(t *testing.T) {
	w := start(t)
	for _, body := range []string{"", "{", "[]", `{"cmd": 1}`, `{"cmd":"true","stdin":7}`, `{"cmd":"true","timeout_ms":-1}`, `{"cmd":"true","env":{"A":1}}`} {
		if status, answer := w.call("POST", "/alcove/exec", []byte(body)); status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", body, status, answer)
		}
	}
	if result := w.exec(object{"cmd": "a\x00b"}); result.code == 0 {
		t.Errorf("a NUL in a command: %+v", result)
	}
}

func TestATagCanBeUsedOnceAtATime(t *testing.T) {
	w := start(t)
	first := w.upgrade("process=1", object{"cmd": "cat", "stdin": true, "tag": "t"})
	first.until(t, func(r ran) bool { return r.pid > 0 })
	if result := w.exec(object{"cmd": "true", "tag": "t"}); result.status != http.StatusConflict {
		t.Fatalf("got %+v", result)
	}
	first.send(t, frame.StdinEOF, "")
	first.until(t, ended)
	eventually(t, "the tag is free", func() bool { return w.exec(object{"cmd": "true", "tag": "t"}).code == 0 })
}
