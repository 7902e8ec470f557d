// Package envd serves E2B's envd protocol, so that its unmodified SDKs work with a workspace.
//
// Its one rule: field names, defaults and codes are those that the published clients expect; what is ours
// alone is on other routes.
package envd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/process"
)

// Version is the envd version whose behaviour this is.
const Version = "0.6.7"

// Processes serves process.Process.
type Processes struct{ Table *process.Table }

// Routes adds the service's routes through handle.
func (s *Processes) Routes(handle func(pattern string, handler http.HandlerFunc)) {
	handle("POST /process.Process/List", connect.Unary(s.list))
	handle("POST /process.Process/Start", s.start)
	handle("POST /process.Process/Connect", s.connect)
	handle("POST /process.Process/Update", connect.Unary(s.update))
	handle("POST /process.Process/StreamInput", s.streamInput)
	handle("POST /process.Process/SendInput", connect.Unary(s.sendInput))
	handle("POST /process.Process/SendSignal", connect.Unary(s.sendSignal))
	handle("POST /process.Process/CloseStdin", connect.Unary(s.closeStdin))
}

func (s *Processes) list(*http.Request, *empty) (*listResponse, error) {
	response := &listResponse{Processes: []processInfo{}}
	for _, p := range s.Table.List() {
		response.Processes = append(response.Processes, processInfo{
			Config: config{Cmd: p.Spec.Cmd, Args: p.Spec.Args, Envs: p.Spec.Env, Cwd: p.Spec.Cwd},
			PID:    p.PID, Tag: p.Spec.Tag,
		})
	}
	return response, nil
}

func (s *Processes) start(w http.ResponseWriter, r *http.Request) {
	stream, request, ok := connect.Open[startRequest](w, r)
	if !ok {
		return
	}
	timeout, err := connect.Timeout(r)
	if err != nil {
		stream.End(err)
		return
	}
	name, _, _ := r.BasicAuth()
	user, err := lookup(s.Table.Users, name)
	if err != nil {
		stream.End(fault.Of(err))
		return
	}
	spec := process.Spec{
		Cmd: request.Process.Cmd, Args: request.Process.Args, Env: request.Process.Envs, Cwd: request.Process.Cwd,
		User: user.Name, Tag: request.Tag, PTY: request.PTY.size(), Timeout: timeout,
		// Clients from before the field was there expect an open standard input.
		Stdin: request.Stdin == nil || *request.Stdin,
	}
	p, reader, err := s.Table.Start(spec)
	if err != nil {
		stream.End(fault.Of(err))
		return
	}
	defer reader.Close()
	stream.End(s.follow(r, stream, p, reader))
}

func (t *terminal) size() *process.Size {
	if t == nil {
		return nil
	}
	if t.Size == nil {
		return &process.Size{}
	}
	return &process.Size{Cols: uint16(min(t.Size.Cols, 1<<14)), Rows: uint16(min(t.Size.Rows, 1<<14))}
}

func (s *Processes) connect(w http.ResponseWriter, r *http.Request) {
	stream, request, ok := connect.Open[connectRequest](w, r)
	if !ok {
		return
	}
	ctx, cancel, err := connect.WithTimeout(r)
	if err != nil {
		stream.End(err)
		return
	}
	defer cancel()
	p, err := s.find(request.Process)
	if err != nil {
		stream.End(err)
		return
	}
	reader := p.Output.Read(Replay(r))
	defer reader.Close()
	stream.End(s.follow(r.WithContext(ctx), stream, p, reader))
}

// Replay says whether a client that connects wants the scrollback first.
func Replay(r *http.Request) bool {
	return r.URL.Query().Get("replay") == "1" || r.Header.Get("X-Alcove-Replay") == "1"
}

// follow sends a process's events until it ends. A client that goes away does not end the process.
func (s *Processes) follow(r *http.Request, stream *connect.Stream, p *process.Process, reader *process.Reader) error {
	if err := stream.Send(event{eventBody{Start: &startEvent{p.PID}}}); err != nil {
		return err
	}
	keepalive := connect.Keepalive(r)
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		ctx, cancel := context.WithTimeout(r.Context(), keepalive)
		n, err := reader.Next(ctx, buffer)
		cancel()
		switch {
		case errors.Is(err, io.EOF):
			return s.finish(r, stream, p)
		case err != nil && r.Context().Err() == nil && errors.Is(err, context.DeadlineExceeded):
			if err := stream.Send(event{eventBody{Keepalive: &empty{}}}); err != nil {
				return err
			}
		case err != nil:
			return fault.Of(err)
		default:
			if err := sendData(stream, buffer[:n], p.Spec.PTY != nil); err != nil {
				return err
			}
		}
	}
}

func sendData(stream *connect.Stream, frames []byte, isTerminal bool) error {
	for {
		kind, payload, rest, ok := frame.Split(frames)
		if !ok {
			return nil
		}
		data := &dataEvent{}
		switch {
		case isTerminal:
			data.PTY = payload
		case kind == frame.Stderr:
			data.Stderr = payload
		default:
			data.Stdout = payload
		}
		if err := stream.Send(event{eventBody{Data: data}}); err != nil {
			return err
		}
		frames = rest
	}
}

func (s *Processes) finish(r *http.Request, stream *connect.Stream, p *process.Process) error {
	select {
	case <-p.Done():
	case <-r.Context().Done():
		return r.Context().Err()
	}
	exit := p.Exit()
	if exit.TimedOut {
		return connect.Errorf(connect.DeadlineExceeded, "process %d was %s", p.PID, exit.Error)
	}
	end := &endEvent{ExitCode: exit.Code, Exited: exit.Signal == "", Status: fmt.Sprintf("exit status %d", exit.Code)}
	if exit.Signal != "" {
		// As Go's os.ProcessState has it, which the original uses.
		end.ExitCode, end.Status = -1, "signal: "+signalText(exit.Signal)
		end.Error = end.Status
		if exit.Error != "" {
			end.Error = exit.Error
		}
	} else if exit.Code != 0 {
		end.Error = end.Status
	}
	return stream.Send(event{eventBody{End: end}})
}

func signalText(name string) string {
	sig, err := process.ParseSignal(name)
	if err != nil {
		return name
	}
	return sig.String()
}

func (s *Processes) find(which selector) (*process.Process, error) {
	p, err := s.Table.Find(which.PID, which.Tag)
	if err != nil {
		return nil, fault.Of(err)
	}
	return p, nil
}

func (s *Processes) update(_ *http.Request, request *updateRequest) (*empty, error) {
	p, err := s.find(request.Process)
	if err != nil {
		return nil, err
	}
	if size := request.PTY.size(); size != nil {
		if err := p.Resize(*size); err != nil {
			return nil, fault.Of(err)
		}
	}
	return &empty{}, nil
}

func (s *Processes) sendInput(r *http.Request, request *inputRequest) (*empty, error) {
	p, err := s.find(request.Process)
	if err != nil {
		return nil, err
	}
	return &empty{}, give(r.Context(), p, request.Input)
}

func give(ctx context.Context, p *process.Process, in input) error {
	data, terminal := in.Stdin, p.Spec.PTY != nil
	switch {
	case in.PTY != nil && !terminal:
		return fault.Of(fmt.Errorf("terminal input for %d: %w", p.PID, process.ErrNoPTY))
	case in.PTY != nil:
		data = in.PTY
	case in.Stdin != nil && terminal:
		return connect.Errorf(connect.InvalidArgument, "process %d has a terminal: send pty, not stdin", p.PID)
	case data == nil:
		return nil
	}
	if err := p.Write(ctx, *data); err != nil {
		return fault.Of(err)
	}
	return nil
}

func (s *Processes) streamInput(w http.ResponseWriter, r *http.Request) {
	if !connect.AcceptStream(w, r) {
		return
	}
	ctx, cancel, err := connect.WithTimeout(r)
	if err != nil {
		connect.WriteError(w, err)
		return
	}
	defer cancel()
	if deadline, has := ctx.Deadline(); has {
		_ = http.NewResponseController(w).SetReadDeadline(deadline.Add(time.Second))
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }()
	}
	err = s.receiveInput(ctx, r)
	stream := connect.Begin(w)
	if err == nil {
		err = stream.Send(empty{})
	}
	stream.End(err)
}

func (s *Processes) receiveInput(ctx context.Context, r *http.Request) error {
	var p *process.Process
	for {
		var message streamInputRequest
		err := connect.Receive(r, &message)
		switch {
		case err == io.EOF:
			return nil
		case ctx.Err() != nil:
			return connect.AsError(ctx.Err())
		case err != nil:
			return fault.Of(err)
		case message.Start != nil:
			if p, err = s.find(message.Start.Process); err != nil {
				return err
			}
		case message.Data != nil && p == nil:
			return connect.Errorf(connect.InvalidArgument, "data came before start")
		case message.Data != nil:
			if err := give(ctx, p, message.Data.Input); err != nil {
				return err
			}
		}
	}
}

func (s *Processes) sendSignal(_ *http.Request, request *signalRequest) (*empty, error) {
	p, err := s.find(request.Process)
	if err != nil {
		return nil, err
	}
	if request.Signal <= 0 || request.Signal > 64 {
		return nil, connect.Errorf(connect.InvalidArgument, "signal %d is not one", request.Signal)
	}
	if err := p.Signal(syscall.Signal(request.Signal)); err != nil {
		return nil, fault.Of(err)
	}
	return &empty{}, nil
}

func (s *Processes) closeStdin(_ *http.Request, request *connectRequest) (*empty, error) {
	p, err := s.find(request.Process)
	if err != nil {
		return nil, err
	}
	if p.Spec.PTY != nil {
		return nil, connect.Errorf(connect.InvalidArgument, "process %d has a terminal: send Ctrl-D (4) instead", p.PID)
	}
	if err := p.CloseStdin(); err != nil {
		return nil, fault.Of(err)
	}
	return &empty{}, nil
}
