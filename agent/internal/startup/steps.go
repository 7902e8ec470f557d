package startup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/process"
)

// result is how a step ended.
type result struct {
	state  State
	code   *int
	reason string
}

var (
	schemes = map[string]bool{"http": true, "https": true, "git": true, "ssh": true}
	// scp is the short form that git has for ssh: user@host:path.
	scp      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:].*$`)
	controls = regexp.MustCompile(`[\x00-\x1f\x7f]`)
)

func (s *Step) checkClone() error {
	if controls.MatchString(s.URL + s.Branch + s.Dir + s.AuthorName + s.AuthorEmail) {
		return errors.New("control characters are not allowed")
	}
	if strings.HasPrefix(s.Branch, "-") {
		return fmt.Errorf("branch %q cannot begin with a dash", s.Branch)
	}
	if !filepath.IsLocal(s.Dir) || filepath.Clean(s.Dir) == "." {
		return fmt.Errorf("dir %q must be a path below the home directory", s.Dir)
	}
	if scp.MatchString(s.URL) {
		return nil
	}
	parsed, err := url.Parse(s.URL)
	if err != nil || !schemes[parsed.Scheme] || parsed.Host == "" || strings.HasPrefix(parsed.Host, "-") {
		return errors.New("url must be an http, https, git or ssh address of a repository")
	}
	if _, has := parsed.User.Password(); has {
		return errors.New("url has a password in it: credentials do not belong there")
	}
	return nil
}

func (s *Step) timeout(otherwise time.Duration) time.Duration {
	if s.TimeoutMS > 0 {
		return time.Duration(s.TimeoutMS) * time.Millisecond
	}
	return otherwise
}

func (r *Runner) step(step Step, directory string) result {
	if step.Kind == "clone" {
		return r.clone(step)
	}
	cwd := step.Cwd
	if cwd == "" {
		cwd = directory
	}
	shell, err := Shell(r.table)
	if err != nil {
		return result{state: Failed, reason: err.Error()}
	}
	return r.command(step.Name, process.Spec{
		Cmd: shell, Args: InProfile(shell, step.Run), Cwd: cwd, Timeout: step.timeout(timeoutDefault),
	})
}

// inProfile runs a script with what the user's profile sets, but not as the login shell itself: that
// would run ~/.bash_logout at the end, under the script's own "set -e", and answer with its code.
const inProfile = `exec "$0" -c "$1"`

// InProfile is what to give the shell to run a script so.
func InProfile(shell, script string) []string { return []string{"-lc", inProfile, shell, script} }

// Shell is the user's shell if scripts can be given to it, and /bin/sh otherwise.
func Shell(table *process.Table) (string, error) {
	user, err := table.Users.Lookup("")
	if err != nil {
		return "", err
	}
	return shellOf(user), nil
}

// shellOf is the user's shell if scripts can be given to it.
func shellOf(user identity.User) string {
	switch filepath.Base(user.Shell) {
	case "sh", "bash", "dash", "ash", "zsh", "ksh":
		if _, err := os.Stat(user.Shell); err == nil {
			return user.Shell
		}
	}
	return "/bin/sh"
}

func (r *Runner) clone(step Step) result {
	user, err := r.table.Users.Lookup("")
	if err != nil {
		return result{state: Failed, reason: err.Error()}
	}
	target := filepath.Join(user.Home, step.Dir)
	if isRepository(user, target) {
		r.journal.Add(step.Name, target+" is a repository already: not cloned again")
		return result{state: Skipped}
	}
	arguments := []string{"clone", "--progress"}
	if step.Branch != "" {
		arguments = append(arguments, "--branch="+step.Branch)
	}
	cloned := r.git(step, user, append(arguments, "--", step.URL, target)...)
	if cloned.state == Failed {
		return cloned
	}
	for key, value := range map[string]string{"user.name": step.AuthorName, "user.email": step.AuthorEmail} {
		if value == "" {
			continue
		}
		if set := r.git(step, user, "-C", target, "config", key, value); set.state == Failed {
			return set
		}
		// For other repositories too, unless somebody has said already who they are.
		if asked := r.git(step, user, "config", "--global", "--get", key); asked.state == Failed {
			_ = r.git(step, user, "config", "--global", key, value)
		}
	}
	return cloned
}

func (r *Runner) git(step Step, user identity.User, arguments ...string) result {
	return r.command(step.Name, process.Spec{
		Cmd: "git", Args: arguments, Cwd: user.Home, Timeout: step.timeout(cloneTimeout),
		Env: map[string]string{
			// Nobody is there to answer, and nothing but these ways leads out.
			"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
			"GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
		},
	})
}

func isRepository(user identity.User, path string) bool {
	return user.Act(func() error {
		_, err := os.Stat(filepath.Join(path, ".git"))
		return err
	}) == nil
}

// command runs a process to its end, its output going to the journal.
func (r *Runner) command(source string, spec process.Spec) result {
	p, reader, err := r.table.Start(spec)
	if err != nil {
		reason := err.Error()
		if code, is := process.IsStartError(err); is && code == 127 && spec.Cmd == "git" {
			reason = "git is not installed in this image"
		}
		return result{state: Failed, reason: reason}
	}
	defer reader.Close()
	// One each: a line of the one must not end up in the middle of a line of the other.
	output, complaints := r.journal.Splitter(source), r.journal.Splitter(source)
	drain(reader, output, complaints)
	output.Close()
	complaints.Close()
	<-p.Done()
	exit := p.Exit()
	ended := result{state: Done, code: &exit.Code}
	switch {
	case exit.Error != "":
		ended.state, ended.reason = Failed, exit.Error
	case exit.Signal != "":
		ended.state, ended.reason = Failed, "ended by "+exit.Signal
	case exit.Code != 0:
		ended.state, ended.reason = Failed, fmt.Sprintf("exit code %d", exit.Code)
		if why := cmp.Or(complaints.Last(), output.Last()); why != "" {
			ended.reason += ": " + shorten(why)
		}
	}
	return ended
}

func drain(reader *process.Reader, output, complaints *journal.Splitter) {
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := reader.Next(context.Background(), buffer)
		if err != nil {
			return
		}
		for rest := buffer[:n]; ; {
			kind, payload, next, ok := frame.Split(rest)
			if !ok {
				break
			}
			if kind == frame.Stderr {
				_, _ = complaints.Write(payload)
			} else {
				_, _ = output.Write(payload)
			}
			rest = next
		}
	}
}

func shorten(text string) string {
	const reasonMax = 500
	if len(text) > reasonMax {
		return strings.ToValidUTF8(text[:reasonMax], "") + "…"
	}
	return text
}
