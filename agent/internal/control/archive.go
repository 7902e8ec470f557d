package control

import (
	"errors"
	"io"
	"net/http"
	"time"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/archive"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
)

// archiveIdleMax is how long an archive may stand still in either direction.
const archiveIdleMax = time.Minute

// Archive serves GET and PUT /alcove/archive.
type Archive struct {
	Table *process.Table
	Meter *activity.Meter
	// Limit bounds the archives under way together with the other streams: each holds a thread.
	Limit int64
}

func (a *Archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	user, err := a.Table.Users.Lookup(query.Get("user"))
	if err != nil {
		connect.WriteError(w, asRequest(err))
		return
	}
	if query.Get("path") == "" {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "path is missing"))
		return
	}
	path := process.Resolve(query.Get("path"), user, a.Table.Workdir())
	if !a.Meter.Open(a.Limit) {
		connect.WriteError(w, connect.Errorf(connect.ResourceExhausted, "%d streams are open; close some first", a.Limit))
		return
	}
	defer a.Meter.Close()
	if r.Method == http.MethodPut {
		a.extract(w, r, user, path)
		return
	}
	a.pack(w, r, user, path)
}

func (a *Archive) pack(w http.ResponseWriter, r *http.Request, user identity.User, path string) {
	out := &paced{writer: w, control: http.NewResponseController(w), meter: a.Meter}
	err := user.ActLong(func() error {
		source, err := archive.Open(path)
		if err != nil {
			return err
		}
		defer source.Close()
		w.Header().Set("Content-Type", "application/x-tar")
		return source.Pack(out)
	})
	_ = out.control.SetWriteDeadline(time.Time{})
	switch {
	case err == nil:
	case !out.begun:
		connect.WriteError(w, fault.Of(err))
	default:
		// The status is sent; the broken end of the body is all that can still tell.
		panic(http.ErrAbortHandler)
	}
}

func (a *Archive) extract(w http.ResponseWriter, r *http.Request, user identity.User, path string) {
	in := &paced{reader: r.Body, control: http.NewResponseController(w), meter: a.Meter}
	var summary archive.Summary
	err := user.ActLong(func() (err error) {
		summary, err = archive.Extract(in, path)
		return err
	})
	_ = in.control.SetReadDeadline(time.Time{})
	var refused *archive.Refused
	switch {
	case err == nil:
		writeJSON(w, summary)
	case errors.As(err, &refused):
		known := fault.Of(refused.Err)
		if known.Code == connect.Internal {
			known.Code = connect.InvalidArgument
		}
		connect.WriteError(w, &connect.Error{Code: known.Code, Message: refused.Error()})
	default:
		connect.WriteError(w, fault.Of(err))
	}
}

// asRequest makes an unknown user the request's fault: the control plane has shown who it is.
func asRequest(err error) error {
	if errors.Is(err, identity.ErrUnknownUser) {
		return connect.Errorf(connect.InvalidArgument, "%w", err)
	}
	return fault.Of(err)
}

// paced moves bytes as long as they move.
type paced struct {
	reader  io.Reader
	writer  io.Writer
	control *http.ResponseController
	meter   *activity.Meter
	begun   bool
}

func (p *paced) Read(buffer []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(archiveIdleMax))
	p.meter.Touch()
	return p.reader.Read(buffer)
}

func (p *paced) Write(data []byte) (int, error) {
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(archiveIdleMax))
	p.meter.Touch()
	return p.writer.Write(data)
}
