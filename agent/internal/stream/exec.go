package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/door"
	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/process"
)

const (
	framesType = "application/x-alcove-frames"
	bufferSize = 64 << 10
	// flushAt is how much output is sent without waiting for more.
	flushAt = 16 << 10
	// coalesce is how long a little output waits for more, so that a short command's output and exit leave
	// in one write.
	coalesce = 2 * time.Millisecond
)

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// Exec serves POST /alcove/exec: one process, its frames in the response, on a connection that is kept.
type Exec struct{ Table *process.Table }

func (e *Exec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{}
	body, err := connect.ReadBody(w, r, execBodyMax)
	if err == nil {
		err = json.Unmarshal(body, q)
	}
	if err != nil {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "the body is not the JSON it should be: %w", err))
		return
	}
	p, reader, failed, err := begin(e.Table, q)
	if err != nil {
		connect.WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", framesType)
	if failed != nil {
		_, _ = w.Write(failed)
		return
	}
	defer reader.Close()
	if q.Stdin.open {
		go func() {
			// An error means that the process does not want it; its exit code tells the rest.
			_ = p.Write(context.Background(), q.Stdin.data)
			_ = p.CloseStdin()
		}()
	}
	a := &answer{writer: w, control: http.NewResponseController(w), budget: q.OutputLimit, limited: q.OutputLimit > 0}
	if err := a.send(r.Context(), p, reader); err != nil && !q.Detach && !door.Cut(r.Context()) {
		p.Abandon()
	}
}

// answer is one response body under way.
type answer struct {
	writer    http.ResponseWriter
	control   *http.ResponseController
	limited   bool
	budget    int64
	truncated bool
}

func (a *answer) send(ctx context.Context, p *process.Process, reader *process.Reader) error {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	pending := appendStarted((*pooled)[:0], p.PID)
	window := time.Now().Add(coalesce)
	for {
		start := len(pending)
		n, err := a.next(ctx, reader, pending[start:bufferSize], start > 0, window)
		if start == 0 {
			window = time.Now().Add(coalesce)
		}
		pending = pending[:start+a.limit(pending[start:start+n])]
		switch {
		case errors.Is(err, io.EOF):
			<-p.Done()
			_, err = a.writer.Write(appendExit(pending, p.Exit(), a.truncated))
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if len(pending) >= flushAt || (err != nil && len(pending) > 0) {
			if _, err := a.writer.Write(pending); err != nil {
				return err
			}
			if err := a.control.Flush(); err != nil {
				return err
			}
			pending = pending[:0]
		}
	}
}

// next waits for output; while something is pending, only until window.
func (a *answer) next(ctx context.Context, reader *process.Reader, room []byte, pending bool, window time.Time) (int, error) {
	if pending {
		limited, cancel := context.WithDeadline(ctx, window)
		defer cancel()
		ctx = limited
	}
	return reader.Next(ctx, room)
}

// limit drops what is over the output limit from the frames in b, and gives how much of b is left.
func (a *answer) limit(b []byte) int {
	if !a.limited {
		return len(b)
	}
	kept := 0
	for rest := b; ; {
		kind, payload, next, ok := frame.Split(rest)
		if !ok {
			return kept
		}
		if int64(len(payload)) > a.budget {
			payload = payload[:a.budget]
			a.truncated = true
		}
		a.budget -= int64(len(payload))
		if len(payload) > 0 {
			frame.PutHeader(b[kept:], kind, len(payload))
			kept += frame.HeaderSize + copy(b[kept+frame.HeaderSize:], payload)
		}
		rest = next
	}
}
