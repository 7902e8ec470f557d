package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"alcove.dev/agent/internal/activity"
	"alcove.dev/agent/internal/apps"
	"alcove.dev/agent/internal/config"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/control"
	"alcove.dev/agent/internal/envd"
	"alcove.dev/agent/internal/filesystem"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/reaper"
	"alcove.dev/agent/internal/server"
	"alcove.dev/agent/internal/startup"
	"alcove.dev/agent/internal/stats"
	"alcove.dev/agent/internal/stream"
)

const shutdownGraceMax = 5 * time.Minute

// agent is the assembled program.
type agent struct {
	guard    *server.Guard
	routes   *server.Routes
	table    *process.Table
	meter    *activity.Meter
	apps     *apps.Supervisor
	shutdown chan time.Duration
}

// assemble puts the parts together; the table of routes is here.
func assemble(settings config.Config) (*agent, error) {
	users := &identity.Directory{
		Passwd: "/etc/passwd", Group: "/etc/group", RootAllowed: settings.Root == config.RootContained,
	}
	meter := &activity.Meter{}
	table := process.NewTable(reaper.New(), users, process.NewEnvironment(settings.ImageEnv), meter)
	table.SetWorkdir(settings.Workdir)
	if settings.User != "" {
		if err := users.SetDefault(settings.User); err != nil {
			return nil, err
		}
	}
	log := journal.New()
	runner := startup.New(table, log)
	guard := server.NewGuard(settings.ControlHash)
	routes := server.NewRoutes(guard)
	a := &agent{guard: guard, routes: routes, table: table, meter: meter, apps: apps.New(table, runner, log), shutdown: make(chan time.Duration, 1)}

	routes.HandleFunc(server.ForAnyone, "GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	(&envd.Processes{Table: table}).Routes(routes.For(server.ForClients))
	files := &filesystem.Files{Users: users}
	(&envd.Filesystem{Files: files, Watchers: filesystem.NewRegistry(), Table: table}).Routes(routes.For(server.ForClients))
	content := &envd.Content{Files: files, Table: table, Meter: meter}
	content.Routes(routes.For(server.ForFiles))
	routes.HandleFunc(server.ForClients, "POST /files/compose", content.Compose)
	routes.Handle(server.ForControl, "POST /init", &control.Init{
		Table: table, Runner: runner, SetToken: guard.SetToken, Files: files, Apps: a.apps,
	})
	watched := &control.Apps{Supervisor: a.apps}
	routes.HandleFunc(server.ForControl, "GET /alcove/apps", watched.List)
	routes.HandleFunc(server.ForControl, "POST /alcove/apps/use", watched.Use)
	routes.Handle(server.ForControl, "GET /alcove/startup", &control.Startup{Runner: runner})
	routes.Handle(server.ForControl, "GET /alcove/logs", &control.Logs{Journal: log})
	routes.Handle(server.ForControl, "GET /alcove/stats", &control.Stats{Collector: &stats.Collector{Table: table, Meter: meter}})
	routes.Handle(server.ForControl, "POST /alcove/exec", &stream.Exec{Table: table})
	terminals := &control.Terminals{Table: table}
	routes.Handle(server.ForControl, "GET /alcove/terminals", terminals)
	routes.Handle(server.ForControl, "POST /alcove/terminals", terminals)
	tar := &control.Archive{Table: table, Meter: meter, Limit: stream.StreamsMax}
	routes.Handle(server.ForControl, "GET /alcove/archive", tar)
	routes.Handle(server.ForControl, "PUT /alcove/archive", tar)
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the agent's own file: %w", err)
	}
	routes.Handle(server.ForControl, "POST /alcove/stream", &stream.Upgrade{
		Table: table, Meter: meter, Listeners: stream.NewListeners(), Program: program,
	})
	routes.Handle(server.ForControl, "GET /alcove/posture", &control.Posture{Table: table, Program: program})
	routes.HandleFunc(server.ForControl, "POST /alcove/shutdown", a.shutdownRoute)
	return a, nil
}

func (a *agent) shutdownRoute(w http.ResponseWriter, r *http.Request) {
	var request struct {
		GraceMS int64 `json:"grace_ms"`
	}
	request.GraceMS = shutdownGrace.Milliseconds()
	body, err := connect.ReadBody(w, r, 1<<10)
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "the body must be {\"grace_ms\": number}: %w", err))
		return
	}
	grace := min(max(0, time.Duration(request.GraceMS)*time.Millisecond), shutdownGraceMax)
	w.WriteHeader(http.StatusAccepted)
	select {
	case a.shutdown <- grace:
	default: // one is under way
	}
}
