package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/posture"
	"alcove.dev/agent/internal/process"
)

const (
	probeTimeout  = 10 * time.Second
	probeBytesMax = 1 << 20
)

// Posture serves GET /alcove/posture.
type Posture struct {
	Table *process.Table
	// Program is this program's own file.
	Program string
}

func (p *Posture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, err := p.look(r.Context(), r.URL.Query().Get("user"))
	if err != nil {
		connect.WriteError(w, asRequest(err))
		return
	}
	writeJSON(w, found)
}

func (p *Posture) look(ctx context.Context, user string) (*posture.Posture, error) {
	found := &posture.Posture{}
	found.Hostname, _ = os.Hostname()
	var err error
	if found.Agent, err = posture.Self(); err != nil {
		return nil, fmt.Errorf("look at the agent: %w", err)
	}
	probe, reader, err := p.Table.Start(process.Spec{
		Cmd: p.Program, Args: []string{posture.ProbeArgument}, Cwd: "/", User: user, Timeout: probeTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("start the probe: %w", err)
	}
	defer reader.Close()
	output, complaint, err := collect(ctx, reader)
	if err != nil {
		probe.Abandon()
		return nil, fmt.Errorf("read from the probe: %w", err)
	}
	<-probe.Done()
	if exit := probe.Exit(); exit.Code != 0 {
		return nil, fmt.Errorf("the probe failed with code %d: %s%s", exit.Code, complaint, exit.Error)
	}
	if err := json.Unmarshal(output, &found.Child); err != nil {
		return nil, fmt.Errorf("read what the probe found: %w", err)
	}
	return found, nil
}

func collect(ctx context.Context, reader *process.Reader) (output, complaint []byte, err error) {
	var out, complaints bytes.Buffer
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := reader.Next(ctx, buffer)
		if err != nil {
			if ctx.Err() == nil {
				err = nil // the end
			}
			return out.Bytes(), complaints.Bytes(), err
		}
		for rest := buffer[:n]; ; {
			kind, payload, next, ok := frame.Split(rest)
			if !ok {
				break
			}
			rest = next
			if out.Len()+complaints.Len() > probeBytesMax {
				return nil, nil, fmt.Errorf("more than %d bytes", probeBytesMax)
			}
			if kind == frame.Stderr {
				complaints.Write(payload)
			} else {
				out.Write(payload)
			}
		}
	}
}
