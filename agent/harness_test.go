package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"alcove.dev/agent/internal/frame"
)

const (
	controlKey  = "the key of the control plane"
	accessToken = "a token for clients"
	// hostFirstID is the first of the ids that the workspace of a test has outside.
	hostFirstID = 231_072
	devID       = 1000
	patience    = 20 * time.Second
)

var (
	program    string
	buildFlags []string
	buildCGO   = "CGO_ENABLED=0"
	// memoryFactor is how much more memory this build may need.
	memoryFactor = 1
)

func TestMain(m *testing.M) {
	directory, err := os.MkdirTemp("", "alcove-agent-test-")
	if err != nil {
		panic(err)
	}
	if err := os.Chmod(directory, 0o755); err != nil {
		panic(err)
	}
	program = filepath.Join(directory, "alcove-agent")
	arguments := append([]string{"build", "-trimpath", "-ldflags", "-s -w -X main.version=test", "-o", program}, buildFlags...)
	build := exec.Command("go", append(arguments, ".")...)
	build.Env = append(os.Environ(), buildCGO)
	if output, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build the agent: %v\n%s", err, output))
	}
	code := m.Run()
	os.RemoveAll(directory)
	os.Exit(code)
}

// workspace is an agent under test. As root it is PID 1, uid 0 of a user namespace, and its user is `dev`
// with a home of its own, as under a driver; otherwise it is a plain child with the rights of the tester.
type workspace struct {
	t      testing.TB
	socket string
	home   string // as seen from both sides
	client *http.Client
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	ended  chan struct{} // closed when the agent has ended
}

// needRoot skips what only root can try; the reason is in the report.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: this is about another user, namespaces or capabilities")
	}
}

func start(t testing.TB, settings ...string) *workspace {
	t.Helper()
	base, err := os.MkdirTemp("", "alcove-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	w := &workspace{t: t, socket: filepath.Join(base, "agent.sock"), home: filepath.Join(base, "home"), stderr: &bytes.Buffer{}, ended: make(chan struct{})}
	for _, directory := range []string{base, w.home} {
		_ = os.Mkdir(directory, 0o755)
		must(t, os.Chmod(directory, 0o755))
	}
	listener, err := net.Listen("unix", w.socket)
	must(t, err)
	file, err := listener.(*net.UnixListener).File()
	must(t, err)
	defer file.Close()
	hash := sha256.Sum256([]byte(controlKey))
	env := append([]string{"ALCOVE_LISTEN=fd:3", "ALCOVE_CONTROL_SHA256=" + hex.EncodeToString(hash[:])}, settings...)

	w.cmd = exec.Command(program)
	if os.Getuid() == 0 {
		w.isolate(base)
		env = append(env, "ALCOVE_USER=dev")
	}
	w.cmd.Env, w.cmd.ExtraFiles, w.cmd.Stderr = env, []*os.File{file}, w.stderr
	must(t, w.cmd.Start())
	// The agent has its own copy now; this one must not unlink the path.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	w.client = &http.Client{Transport: &http.Transport{
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", w.socket) },
		MaxIdleConnsPerHost: 100,
	}}
	t.Cleanup(w.stop)
	w.awaitHealth()
	return w
}

// isolate makes the agent PID 1 of its own namespaces, with a user database that has dev in it.
func (w *workspace) isolate(base string) {
	passwd := filepath.Join(base, "passwd")
	must(w.t, os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::"+w.home+":/bin/bash\nother:x:1001:1001::/:/bin/sh\n"), 0o644))
	group := filepath.Join(base, "group")
	must(w.t, os.WriteFile(group, []byte("root:x:0:\ndev:x:1000:\nextra:x:1500:dev\n"), 0o644))
	must(w.t, os.Chown(w.home, hostFirstID+devID, hostFirstID+devID))
	script := "mount -t proc proc /proc && mount --bind " + passwd + " /etc/passwd && mount --bind " + group + " /etc/group && exec " + program
	w.cmd = exec.Command("/bin/sh", "-c", script)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostFirstID, Size: 65536}}
	w.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: 0, Gid: 0},
	}
}

func (w *workspace) awaitHealth() {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		response, err := w.client.Get("http://agent/health")
		if err == nil {
			response.Body.Close()
			return
		}
		select {
		case <-w.ended:
			w.t.Fatalf("the agent ended: %v\n%s", w.cmd.ProcessState, w.stderr)
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the agent did not answer: %v", err)
		}
	}
}

func (w *workspace) stop() {
	w.client.CloseIdleConnections()
	select {
	case <-w.ended:
	default:
		if os.Getuid() != 0 {
			// Only a PID namespace takes everybody with it.
			w.call("POST", "/alcove/shutdown", object{"grace_ms": 100})
			w.awaitEnd(patience)
		}
		_ = w.cmd.Process.Kill()
		<-w.ended
	}
	if w.t.Failed() {
		w.t.Logf("stderr of the agent: %s", w.stderr)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// call sends one request as the control plane and gives the status and the body.
func (w *workspace) call(method, target string, body any, headers ...string) (int, []byte) {
	w.t.Helper()
	response := w.request(method, target, body, append(headers, "X-Alcove-Control", controlKey)...)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(w.t, err)
	return response.StatusCode, content
}

// request sends a request with the headers given as name, value pairs. A body that is neither bytes nor a
// reader is sent as JSON.
func (w *workspace) request(method, target string, body any, headers ...string) *http.Response {
	w.t.Helper()
	var content io.Reader
	kind := ""
	switch body := body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(body)
	case io.Reader:
		content = body
	default:
		text, err := json.Marshal(body)
		must(w.t, err)
		content, kind = bytes.NewReader(text), "application/json"
	}
	request, err := http.NewRequest(method, "http://agent"+target, content)
	must(w.t, err)
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.client.Do(request)
	must(w.t, err)
	return response
}

// object is a JSON object.
type object = map[string]any

// ran is what an exec gave.
type ran struct {
	status         int
	stdout, stderr string
	code           int
	signal, reason string
	timedOut       bool
	truncated      bool
	pid            int
	frames         int
}

func (w *workspace) exec(request object) ran {
	w.t.Helper()
	status, body := w.call("POST", "/alcove/exec", request)
	if status != 200 {
		return ran{status: status, reason: string(body)}
	}
	return w.read(body)
}

// sh runs a shell line.
func (w *workspace) sh(line string) ran {
	w.t.Helper()
	return w.exec(object{"cmd": "/bin/sh", "args": []string{"-c", line}})
}

func (w *workspace) read(body []byte) ran {
	w.t.Helper()
	result := ran{status: 200, code: -1}
	for {
		kind, payload, rest, ok := frame.Split(body)
		if !ok {
			break
		}
		result.take(w.t, kind, payload)
		body = rest
	}
	if len(body) > 0 {
		w.t.Fatalf("%d bytes behind the last frame", len(body))
	}
	return result
}

func (r *ran) take(t testing.TB, kind frame.Type, payload []byte) {
	t.Helper()
	r.frames++
	switch kind {
	case frame.Stdout:
		r.stdout += string(payload)
	case frame.Stderr:
		r.stderr += string(payload)
	case frame.Started:
		var started struct{ PID int }
		must(t, json.Unmarshal(payload, &started))
		r.pid = started.PID
	case frame.Exit:
		var exit struct {
			ExitCode  int `json:"exit_code"`
			Signal    *string
			Error     string
			TimedOut  bool `json:"timed_out"`
			Truncated bool
		}
		must(t, json.Unmarshal(payload, &exit))
		r.code, r.reason, r.timedOut, r.truncated = exit.ExitCode, exit.Error, exit.TimedOut, exit.Truncated
		if exit.Signal != nil {
			r.signal = *exit.Signal
		}
	}
}

// session is an upgraded connection.
type session struct {
	*net.UnixConn
	buffered *bufio.Reader
	frames   *frame.Reader
	status   int
	body     string
}

// upgrade opens /alcove/stream; process is what goes into X-Alcove-Process.
func (w *workspace) upgrade(query string, process object) *session {
	w.t.Helper()
	conn, err := net.Dial("unix", w.socket)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	must(w.t, conn.SetDeadline(time.Now().Add(patience)))
	head := "POST /alcove/stream?" + query + " HTTP/1.1\r\nHost: agent\r\nX-Alcove-Control: " + controlKey +
		"\r\nConnection: Upgrade\r\nUpgrade: alcove-stream\r\n"
	if process != nil {
		text, err := json.Marshal(process)
		must(w.t, err)
		head += "X-Alcove-Process: " + base64.StdEncoding.EncodeToString(text) + "\r\n"
	}
	_, err = conn.Write([]byte(head + "\r\n"))
	must(w.t, err)
	buffered := bufio.NewReader(conn)
	response, err := http.ReadResponse(buffered, nil)
	must(w.t, err)
	s := &session{UnixConn: conn.(*net.UnixConn), buffered: buffered, frames: frame.NewReader(buffered), status: response.StatusCode}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		s.body = string(body)
	}
	return s
}

func (s *session) send(t testing.TB, kind frame.Type, payload string) {
	t.Helper()
	_, err := s.Write(frame.Append(nil, kind, []byte(payload)))
	must(t, err)
}

// until reads frames until the output so far satisfies done, or the process has ended.
func (s *session) until(t testing.TB, done func(ran) bool) ran {
	t.Helper()
	result := ran{code: -1}
	for !done(result) {
		kind, payload, err := s.frames.Next()
		if err != nil {
			t.Fatalf("read a frame: %v (so far: %+v)", err, result)
		}
		result.take(t, kind, payload)
		if kind == frame.Exit {
			break
		}
	}
	return result
}

func ended(ran) bool { return false }

func saying(text string) func(ran) bool {
	return func(r ran) bool { return strings.Contains(r.stdout, text) }
}

// eventually waits until check is true; what it waits for is the work of other processes.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// upgradeRaw sends text on a connection of its own.
func (w *workspace) upgradeRaw(text string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("unix", w.socket)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	must(w.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte(text))
	must(w.t, err)
	return conn
}
