package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/reaper"
	"alcove.dev/agent/internal/threads"
)

// wiring is the set of descriptors of one start.
type wiring struct {
	child    [3]int // what becomes 0, 1 and 2; -1 is not open
	stdin    *os.File
	outputs  []*os.File // stdout and stderr, or the terminal
	terminal *os.File
}

// Start starts a process and returns it with a Reader that sees its output from the first byte.
//
// A *StartError means that the command could not be executed; identity.ErrUnknownUser, ErrCwd, ErrTagTaken
// and ErrTooMany say what was wrong with the request.
func (t *Table) Start(spec Spec) (*Process, *Reader, error) {
	user, err := t.Users.Lookup(spec.User)
	if err != nil {
		return nil, nil, err
	}
	if err := t.reserve(spec); err != nil {
		return nil, nil, err
	}
	p, reader, err := t.start(spec, user)
	if err != nil {
		t.settle(spec, nil)
		return nil, nil, err
	}
	return p, reader, nil
}

func (t *Table) start(spec Spec, user identity.User) (*Process, *Reader, error) {
	env := t.Environment.For(user, spec.Env)
	if spec.PTY != nil && env["TERM"] == "" {
		env["TERM"] = "xterm-256color"
	}
	cwd, path, err := t.locate(spec, user, env)
	if err != nil {
		return nil, nil, err
	}
	w, err := wire(spec, user)
	if err != nil {
		w.close()
		return nil, nil, err
	}
	started := time.Now()
	pid, ended, err := t.reaper.Start(func() (int, error) {
		threads.Enter()
		defer threads.Leave()
		return syscall.ForkExec(path, append([]string{spec.Cmd}, spec.Args...), &syscall.ProcAttr{
			Dir:   cwd,
			Env:   append(pairs(env), "PWD="+cwd),
			Files: []uintptr{uintptr(w.child[0]), uintptr(w.child[1]), uintptr(w.child[2])},
			Sys: &syscall.SysProcAttr{
				Credential: user.Credential(), Setsid: true, Setctty: spec.PTY != nil, Ctty: 0,
			},
		})
	})
	w.closeChild()
	if err != nil {
		w.close()
		if err == syscall.EAGAIN || err == syscall.ENOMEM {
			return nil, nil, fmt.Errorf("%w: the workspace is at its limit: fork: %w", ErrTooMany, err)
		}
		return nil, nil, startError(spec.Cmd, err)
	}
	p := t.adopt(spec, user, cwd, pid, started, w)
	reader := p.Output.Read(true)
	p.run(w, ended)
	return p, reader, nil
}

func (t *Table) adopt(spec Spec, user identity.User, cwd string, pid int, started time.Time, w *wiring) *Process {
	limit := pipeRingMax
	switch {
	case spec.isKept():
		limit = scrollbackMax
	case spec.PTY != nil:
		limit = terminalRingMax
	}
	spec.Cwd = cwd
	p := &Process{
		Spec: spec, PID: pid, ID: fmt.Sprintf("%d-%x", pid, started.UnixNano()), User: user, Started: started, Output: newOutput(limit, spec.PTY != nil),
		table: t, stdin: w.stdin, terminal: w.terminal, done: make(chan struct{}), oomBefore: oomKills(),
	}
	if spec.PTY != nil {
		p.Output.Resized(spec.PTY.orDefault())
	}
	t.settle(spec, p)
	p.touch()
	return p
}

func (p *Process) run(w *wiring, ended <-chan reaper.Status) {
	if p.Spec.Timeout > 0 {
		p.timeout = time.AfterFunc(p.Spec.Timeout, func() { p.end(endTimeout) })
	}
	go p.follow(w, ended)
}

// locate finds the directory and the command with the user's rights.
func (t *Table) locate(spec Spec, user identity.User, env map[string]string) (cwd, path string, err error) {
	err = user.Act(func() error {
		if cwd, err = workingDirectory(spec.Cwd, t.Workdir(), user); err != nil {
			return err
		}
		path, err = lookPath(spec.Cmd, env["PATH"], cwd, user)
		return err
	})
	return cwd, path, err
}

func workingDirectory(asked, fallback string, user identity.User) (string, error) {
	if asked != "" {
		path := Resolve(asked, user, "")
		if err := isDirectory(path); err != nil {
			return "", fmt.Errorf("%w %s: %w", ErrCwd, path, err)
		}
		return path, nil
	}
	// Nobody asked for these, so a missing one (no volume yet, a home that was never made) is no error.
	for _, path := range []string{fallback, user.Home} {
		if path != "" && isDirectory(Resolve(path, user, "")) == nil {
			return Resolve(path, user, ""), nil
		}
	}
	return "/", nil
}

// isDirectory says whether the user could change to path: the dot in it is reached only by who may.
func isDirectory(path string) error {
	var info syscall.Stat_t
	return syscall.Stat(path+"/.", &info)
}

// Resolve makes a path absolute: ~ is the user's home, and relative paths start at base, or at the home.
func Resolve(path string, user identity.User, base string) string {
	switch {
	case path == "~":
		return user.Home
	case strings.HasPrefix(path, "~/"):
		return filepath.Join(user.Home, path[2:])
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	case base != "" && filepath.IsAbs(base):
		return filepath.Join(base, path)
	}
	return filepath.Join(user.Home, path)
}

func wire(spec Spec, user identity.User) (*wiring, error) {
	w := &wiring{child: [3]int{-1, -1, -1}}
	if spec.PTY != nil {
		master, slave, err := openTerminal(user, *spec.PTY, spec.Modes)
		if err != nil {
			return w, err
		}
		w.child = [3]int{slave, slave, slave}
		w.stdin, w.terminal, w.outputs = master, master, []*os.File{master}
		return w, nil
	}
	if spec.Channel != nil {
		return w, w.wireChannel(spec.Channel)
	}
	if err := w.wireStdin(spec.Stdin); err != nil {
		return w, err
	}
	for i, name := range []string{"stdout", "stderr"} {
		var ends [2]int
		if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
			return w, fmt.Errorf("make a pipe: %w", err)
		}
		w.child[i+1] = ends[1]
		_ = syscall.SetNonblock(ends[0], true)
		w.outputs = append(w.outputs, os.NewFile(uintptr(ends[0]), name))
	}
	return w, nil
}

func (w *wiring) wireStdin(wanted bool) error {
	if !wanted {
		null, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		w.child[0] = null
		return nil
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	w.child[0] = ends[0]
	_ = syscall.SetNonblock(ends[1], true)
	w.stdin = os.NewFile(uintptr(ends[1]), "stdin")
	return nil
}

func (w *wiring) closeChild() {
	for i, fd := range w.child {
		if fd >= 0 && (i == 0 || fd != w.child[0]) {
			syscall.Close(fd)
		}
	}
	w.child = [3]int{-1, -1, -1}
}

func (w *wiring) close() {
	w.closeChild()
	for _, file := range w.outputs {
		file.Close()
	}
	if w.stdin != nil && w.terminal == nil {
		w.stdin.Close()
	}
}

// IsStartError says whether the command itself could not be executed, and gives the shell's code for it.
func IsStartError(err error) (code int, is bool) {
	var start *StartError
	if errors.As(err, &start) {
		return start.Code, true
	}
	return 0, false
}
