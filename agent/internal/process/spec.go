// Package process starts, follows and ends the processes of a workspace.
//
// Its one rule: a process's output is never dropped while somebody reads it and never kept without a bound.
package process

import (
	"errors"
	"os"
	"time"
)

// Size is a terminal's size in characters.
type Size struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

func (s Size) orDefault() Size {
	if s.Cols == 0 {
		s.Cols = 80
	}
	if s.Rows == 0 {
		s.Rows = 24
	}
	return s
}

// Spec says what to start.
type Spec struct {
	Cmd     string
	Args    []string
	Env     map[string]string
	Cwd     string
	User    string
	Stdin   bool
	PTY     *Size
	Modes   Modes // of the terminal
	Tag     string
	Timeout time.Duration
	// Service says that it runs whether somebody is there or not: it does not make the workspace one in use.
	Service bool
	// Channel becomes both the standard input and the standard output, as it is; nothing of either is kept, and
	// standard error goes nowhere. It stays the caller's to close.
	Channel *os.File
}

// isKept says whether it is a terminal that people come back to.
func (s Spec) isKept() bool { return s.PTY != nil && s.Tag != "" }

// Exit says how a process ended.
type Exit struct {
	// Code is the exit code, or 128 + the signal.
	Code     int
	Signal   string // "SIGKILL"; empty when it exited by itself
	Error    string // why it was ended, or why it could not be started
	Duration time.Duration
	TimedOut bool
	OOM      bool
}

// What a caller can act on.
var (
	ErrTagTaken = errors.New("a process with this tag is running")
	ErrTooMany  = errors.New("too many processes")
	ErrNotFound = errors.New("no such process")
	ErrNoPTY    = errors.New("the process has no terminal")
	ErrNoStdin  = errors.New("the process has no open standard input")
	ErrCwd      = errors.New("working directory")
)

// StartError says that the command itself could not be started: the shell's 126 or 127.
type StartError struct {
	Code int
	Err  error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }
