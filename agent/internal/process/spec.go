// Package process starts, follows and ends the processes of a workspace.
//
// Its one rule: a process's output is never dropped while somebody reads it and never kept without a bound.
package process

import (
	"errors"
	"time"
)

// Size is a terminal's size in characters.
type Size struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
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
	Tag     string
	Timeout time.Duration
}

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
