// Package stream serves Alcove's own ways to run a process and to reach a port: framed output over a kept
// connection, and upgraded connections that carry raw bytes.
//
// Its one rule: a process that was started for a connection does not outlive it, unless that was asked for.
package stream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
)

const (
	execBodyMax = 8 << 20
	timeoutMax  = 30 * 24 * time.Hour
)

// request is what a client says of a process: the body of /alcove/exec, and the header of /alcove/stream.
type request struct {
	Cmd         string            `json:"cmd"`
	Args        []string          `json:"args"`
	Env         map[string]string `json:"env"`
	Cwd         string            `json:"cwd"`
	User        string            `json:"user"`
	PTY         *terminal         `json:"pty"`
	Stdin       stdin             `json:"stdin"`
	TimeoutMS   int64             `json:"timeout_ms"`
	OutputLimit int64             `json:"output_limit"`
	Tag         string            `json:"tag"`
	PID         int               `json:"pid"`
	Detach      bool              `json:"detach"`
	View        *view             `json:"view"`
}

// terminal is its size, and how it behaves when it is new.
type terminal struct {
	process.Size
	Modes process.Modes `json:"modes"`
}

// view asks to be a viewer of a terminal. pty is then the size of the viewer's own screen.
type view struct {
	// ID and After say what was seen already, and of which process.
	ID    string  `json:"id"`
	After *uint64 `json:"after"`
}

// stdin is `true` for an open standard input, or its whole content in base64.
type stdin struct {
	open bool
	data []byte
}

func (s *stdin) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &s.open) == nil {
		return nil
	}
	var data connect.Bytes
	if err := json.Unmarshal(text, &data); err != nil {
		return errors.New("stdin must be true, false or base64")
	}
	s.open, s.data = true, data
	return nil
}

func (q *request) spec() (process.Spec, error) {
	if q.TimeoutMS < 0 || q.TimeoutMS > timeoutMax.Milliseconds() {
		return process.Spec{}, connect.Errorf(connect.InvalidArgument, "timeout_ms %d is not between 0 and %d", q.TimeoutMS, timeoutMax.Milliseconds())
	}
	spec := process.Spec{
		Cmd: q.Cmd, Args: q.Args, Env: q.Env, Cwd: q.Cwd, User: q.User, Stdin: q.Stdin.open,
		Tag: q.Tag, Timeout: time.Duration(q.TimeoutMS) * time.Millisecond,
	}
	if q.PTY != nil {
		spec.PTY, spec.Modes = &q.PTY.Size, q.PTY.Modes
	}
	return spec, nil
}

// fromHeader reads X-Alcove-Process: base64 of the JSON.
func fromHeader(r *http.Request) (*request, error) {
	text, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Alcove-Process"))
	if err != nil {
		return nil, connect.Errorf(connect.InvalidArgument, "X-Alcove-Process is not base64: %w", err)
	}
	q := &request{}
	if err := json.Unmarshal(text, q); err != nil {
		return nil, connect.Errorf(connect.InvalidArgument, "X-Alcove-Process is not the JSON it should be: %w", err)
	}
	return q, nil
}

// exitFrame is the payload of the last frame.
type exitFrame struct {
	ExitCode   int     `json:"exit_code"`
	Signal     *string `json:"signal"`
	Error      string  `json:"error,omitempty"`
	DurationMS float64 `json:"duration_ms"`
	TimedOut   bool    `json:"timed_out,omitempty"`
	OOM        bool    `json:"oom,omitempty"`
	Truncated  bool    `json:"truncated,omitempty"`
}

func appendExit(b []byte, exit process.Exit, truncated bool) []byte {
	payload := exitFrame{
		ExitCode: exit.Code, Error: exit.Error, DurationMS: float64(exit.Duration.Microseconds()) / 1000,
		TimedOut: exit.TimedOut, OOM: exit.OOM, Truncated: truncated,
	}
	if exit.Signal != "" {
		payload.Signal = &exit.Signal
	}
	text, _ := json.Marshal(payload)
	return frame.Append(b, frame.Exit, text)
}

// opened is the first frame for a viewer.
type opened struct {
	PID int    `json:"pid"`
	ID  string `json:"id"`
	process.Opening
}

func appendOpened(b []byte, p *process.Process, opening process.Opening) []byte {
	text, _ := json.Marshal(opened{p.PID, p.ID, opening})
	return frame.Append(b, frame.Started, text)
}

func appendStarted(b []byte, pid int) []byte {
	return frame.Append(b, frame.Started, append(strconv.AppendInt([]byte(`{"pid":`), int64(pid), 10), '}'))
}

// begin starts the process, or gives the exit frame of a command that could not be executed.
func begin(table *process.Table, q *request) (*process.Process, *process.Reader, []byte, error) {
	spec, err := q.spec()
	if err != nil {
		return nil, nil, nil, err
	}
	p, reader, err := table.Start(spec)
	if code, is := process.IsStartError(err); is {
		return nil, nil, appendExit(nil, process.Exit{Code: code, Error: err.Error()}, false), nil
	}
	if errors.Is(err, identity.ErrUnknownUser) {
		// Our own callers have shown who they are; it is the request that is wrong.
		return nil, nil, nil, connect.Errorf(connect.InvalidArgument, "%w", err)
	}
	if err != nil {
		return nil, nil, nil, fault.Of(err)
	}
	return p, reader, nil, nil
}
