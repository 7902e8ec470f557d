// Package connect speaks the Connect protocol with JSON messages, as far as envd's clients need it: unary
// calls, and streams of enveloped messages (https://connectrpc.com/docs/protocol).
//
// Its one rule: an error reaches the client as {code, message} with a code that the client can act on.
package connect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Code is a Connect error code.
type Code string

// The codes that the agent uses.
const (
	Canceled           Code = "canceled"
	InvalidArgument    Code = "invalid_argument"
	DeadlineExceeded   Code = "deadline_exceeded"
	NotFound           Code = "not_found"
	AlreadyExists      Code = "already_exists"
	PermissionDenied   Code = "permission_denied"
	ResourceExhausted  Code = "resource_exhausted"
	FailedPrecondition Code = "failed_precondition"
	Unimplemented      Code = "unimplemented"
	Internal           Code = "internal"
	Unavailable        Code = "unavailable"
	Unauthenticated    Code = "unauthenticated"
)

var statuses = map[Code]int{
	Canceled: 499, InvalidArgument: 400, DeadlineExceeded: 504, NotFound: 404, AlreadyExists: 409,
	PermissionDenied: 403, ResourceExhausted: 429, FailedPrecondition: 400, Unimplemented: 501,
	Internal: 500, Unavailable: 503, Unauthenticated: 401,
}

const (
	// messageMax bounds one message from a client.
	messageMax = 4 << 20
	// bodyTimeout bounds how long it may take to arrive.
	bodyTimeout = 30 * time.Second
)

// Error is what a client sees.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, arguments ...any) *Error {
	return &Error{Code: code, Message: fmt.Errorf(format, arguments...).Error()}
}

// AsError gives err as an Error; one that nobody gave a code is internal.
func AsError(err error) *Error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{DeadlineExceeded, "the deadline has passed"}
	case errors.Is(err, context.Canceled):
		return &Error{Canceled, "the client went away"}
	}
	return &Error{Internal, err.Error()}
}

// WriteError answers a unary call (or a stream that has not begun) with an error.
func WriteError(w http.ResponseWriter, err error) {
	known := AsError(err)
	body, _ := json.Marshal(known)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statuses[known.Code])
	_, _ = w.Write(body)
}

// Unary makes a handler of a function from request to response message.
func Unary[Request, Response any](call func(*http.Request, *Request) (*Response, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind := mediaType(r); kind != "application/json" {
			refuseType(w, kind, "application/json")
			return
		}
		body, err := ReadBody(w, r, messageMax)
		if err != nil {
			WriteError(w, Errorf(ResourceExhausted, "read the request: %w", err))
			return
		}
		request := new(Request)
		if err := decode(body, request); err != nil {
			WriteError(w, err)
			return
		}
		ctx, cancel, err := WithTimeout(r)
		if err != nil {
			WriteError(w, err)
			return
		}
		defer cancel()
		response, err := call(r.WithContext(ctx), request)
		if err != nil {
			WriteError(w, err)
			return
		}
		answer, err := json.Marshal(response)
		if err != nil {
			WriteError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}
}

// ReadBody reads a body that is wanted whole. It must come within bodyTimeout.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	defer Hurry(w)()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}

// Hurry gives the client bodyTimeout to send what is awaited; the answer ends that. Only what is small may be
// read so: it is not for uploads.
func Hurry(w http.ResponseWriter) (relax func()) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	return func() { _ = control.SetReadDeadline(time.Time{}) }
}

// WithTimeout applies the client's connect-timeout-ms to the request's context.
func WithTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout, err := Timeout(r)
	if err != nil {
		return nil, nil, err
	}
	if timeout == 0 {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

// Timeout reads connect-timeout-ms; 0 means none.
func Timeout(r *http.Request) (time.Duration, error) {
	text := r.Header.Get("Connect-Timeout-Ms")
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 || len(text) > 10 {
		return 0, Errorf(InvalidArgument, "connect-timeout-ms %q is not a number of at most 10 digits", text)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func mediaType(r *http.Request) string {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

func refuseType(w http.ResponseWriter, got, want string) {
	w.Header().Set("Accept-Post", want)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnsupportedMediaType)
	body, _ := json.Marshal(Errorf(InvalidArgument, "content type %q is not supported: send %s", got, want))
	_, _ = w.Write(body)
}

func decode(body []byte, message any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, message); err != nil {
		return Errorf(InvalidArgument, "the request is not the JSON it should be: %w", err)
	}
	return nil
}

// Bytes is the JSON form of protobuf's bytes: base64 of either alphabet, padded or not.
type Bytes []byte

// UnmarshalJSON reads it.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var encoded string
	if err := json.Unmarshal(text, &encoded); err != nil {
		return err
	}
	encoded = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
	data, err := base64.RawStdEncoding.DecodeString(encoded)
	*b = data
	return err
}

// MarshalJSON writes it.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(b)) }
