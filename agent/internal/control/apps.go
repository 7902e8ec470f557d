package control

import (
	"context"
	"net/http"
	"time"

	"alcove.dev/agent/internal/apps"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
)

const useMax = 2 * time.Minute

// Apps serves GET /alcove/apps and POST /alcove/apps/use.
type Apps struct{ Supervisor *apps.Supervisor }

// List says how all of them are.
func (a *Apps) List(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"apps": a.Supervisor.Reports()})
}

// Use starts the app "name" if that has not been started yet, and says how it is as soon as that is known, or
// after "wait".
func (a *Apps) Use(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil || wait < 0 {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "wait %q is not a duration like 30s", query.Get("wait")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, useMax))
	defer cancel()
	report, err := a.Supervisor.Use(ctx, query.Get("name"))
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	writeJSON(w, report)
}
