package server

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/door"
)

// Access says who a route is for.
type Access int

const (
	// ForAnyone needs nothing.
	ForAnyone Access = iota
	// ForClients needs the access token or the control key.
	ForClients
	// ForFiles is ForClients, or a signed URL.
	ForFiles
	// ForControl needs the control key; to everybody else the route does not exist.
	ForControl
)

const (
	headerBytesMax    = 64 << 10
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 10 * time.Minute
	// connectionsMax bounds the connections that are not upgraded; upgraded ones have their own bound.
	connectionsMax = 2048
)

// Routes is the one table of routes.
type Routes struct {
	guard *Guard
	mux   *http.ServeMux
}

// NewRoutes makes an empty table; what is not in it is 404.
func NewRoutes(guard *Guard) *Routes {
	routes := &Routes{guard: guard, mux: http.NewServeMux()}
	routes.mux.HandleFunc("/", notFound)
	return routes
}

// Handle adds a route.
func (t *Routes) Handle(access Access, pattern string, handler http.Handler) {
	t.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := t.guard.Identify(r)
		allowed := access == ForAnyone || caller == Control
		switch access {
		case ForClients:
			allowed = allowed || caller == Client
		case ForFiles:
			allowed = allowed || caller == Client || t.guard.Signed(r)
		}
		switch {
		case allowed:
			handler.ServeHTTP(w, r)
		case access == ForControl:
			notFound(w, r)
		default:
			answer(w, http.StatusUnauthorized, connect.Errorf(connect.Unauthenticated, "the access token is missing or wrong"))
		}
	}))
}

// HandleFunc adds a route that is a function.
func (t *Routes) HandleFunc(access Access, pattern string, handler http.HandlerFunc) {
	t.Handle(access, pattern, handler)
}

// For gives the form that the services' own Routes functions take.
func (t *Routes) For(access Access) func(string, http.HandlerFunc) {
	return func(pattern string, handler http.HandlerFunc) { t.Handle(access, pattern, handler) }
}

// Server makes the HTTP server. There is no limit on the time of a request: streams are open for days.
func (t *Routes) Server() *http.Server {
	var open atomic.Int64
	return &http.Server{
		ConnContext: door.Context,
		ConnState: func(conn net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if open.Add(1) > connectionsMax {
					conn.Close()
				}
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
		},
		Handler: t.mux, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytesMax, DisableGeneralOptionsHandler: true,
	}
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusNotFound, connect.Errorf(connect.NotFound, "there is no such route"))
}

func answer(w http.ResponseWriter, status int, body *connect.Error) {
	text, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
