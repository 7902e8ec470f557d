// Package apps keeps a workspace's apps running and knows how they are.
//
// Its one rule: what is wanted is said as a whole and may be said again; only what differs is ended or started.
package apps

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/startup"
)

const (
	appsMax      = 32
	commandMax   = 64 << 10
	thresholdMax = 100
	intervalMax  = time.Hour
	intervalMin  = time.Second
)

var name = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// State is how an app is.
type State string

// The states.
const (
	Waiting   State = "waiting"
	Starting  State = "starting"
	Healthy   State = "healthy"
	Unhealthy State = "unhealthy"
)

// Health is how to find out whether an app answers.
type Health struct {
	Path       string `json:"path"` // of a GET; empty: the port takes a connection
	IntervalMS int64  `json:"interval_ms"`
	Threshold  int    `json:"threshold"`
}

// App is one app, as the control plane says it.
type App struct {
	Name    string            `json:"name"`
	Command string            `json:"command"` // empty: something else starts it
	Port    int               `json:"port"`
	Start   string            `json:"start"` // boot or first_use
	Env     map[string]string `json:"env"`
	Health  Health            `json:"health"`
}

// Report is how one app is.
type Report struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	PID      int       `json:"pid,omitempty"`
}

// Supervisor keeps them.
type Supervisor struct {
	table   *process.Table
	runner  *startup.Runner
	journal *journal.Journal

	mu      sync.Mutex
	kept    map[string]*keeper
	closing atomic.Bool
}

// New makes a Supervisor that has nothing to keep yet.
func New(table *process.Table, runner *startup.Runner, log *journal.Journal) *Supervisor {
	return &Supervisor{table: table, runner: runner, journal: log, kept: map[string]*keeper{}}
}

// Set says which apps there are from now on.
func (s *Supervisor) Set(apps []App) error {
	if err := check(apps); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, app := range apps {
		wanted[app.Name] = true
		former := s.kept[app.Name]
		if former != nil && same(former.app, app) {
			continue
		}
		var before <-chan struct{}
		if former != nil {
			former.stop()
			before = former.gone
		}
		k := &keeper{supervisor: s, app: app, used: make(chan struct{}), gone: make(chan struct{})}
		k.report = Report{Name: app.Name, State: Waiting, Reason: "waits for the start-up steps", Since: time.Now().UTC()}
		ctx, stop := context.WithCancel(context.Background())
		k.stop = stop
		s.kept[app.Name] = k
		go k.run(ctx, before)
	}
	for name, k := range s.kept {
		if !wanted[name] {
			k.stop()
			delete(s.kept, name)
		}
	}
	return nil
}

// Close starts nothing again that ends from now on: the workspace is shutting down.
func (s *Supervisor) Close() { s.closing.Store(true) }

// Reports says how they are, by name.
func (s *Supervisor) Reports() []Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := make([]Report, 0, len(s.kept))
	for _, name := range slices.Sorted(maps.Keys(s.kept)) {
		reports = append(reports, s.kept[name].look())
	}
	return reports
}

// Use starts an app that waits for its first use, and says how it is once it answers, it is known that it does
// not, or ctx ends.
func (s *Supervisor) Use(ctx context.Context, name string) (Report, error) {
	s.mu.Lock()
	k := s.kept[name]
	s.mu.Unlock()
	if k == nil {
		return Report{}, connect.Errorf(connect.NotFound, "there is no app %q", name)
	}
	k.use()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		report := k.look()
		if report.State == Healthy || report.State == Unhealthy {
			return report, nil
		}
		select {
		case <-tick.C:
		case <-k.gone:
			return k.look(), nil
		case <-ctx.Done():
			return k.look(), nil
		}
	}
}

func check(apps []App) error {
	if len(apps) > appsMax {
		return connect.Errorf(connect.InvalidArgument, "apps: more than %d", appsMax)
	}
	seen := map[string]bool{}
	for i := range apps {
		app := &apps[i]
		var err error
		interval := time.Duration(app.Health.IntervalMS) * time.Millisecond
		switch {
		case !name.MatchString(app.Name) || len(app.Name) > 32:
			err = fmt.Errorf("name %q is not one", app.Name)
		case seen[app.Name]:
			err = fmt.Errorf("name %q stands twice", app.Name)
		case app.Port < 1 || app.Port > 65535:
			err = fmt.Errorf("port %d is not between 1 and 65535", app.Port)
		case len(app.Command) > commandMax:
			err = fmt.Errorf("command has more than %d bytes", commandMax)
		case app.Start != "" && app.Start != "boot" && app.Start != "first_use":
			err = fmt.Errorf("start %q is neither boot nor first_use", app.Start)
		case interval < intervalMin || interval > intervalMax:
			err = fmt.Errorf("health.interval_ms is not between %d and %d", intervalMin.Milliseconds(), intervalMax.Milliseconds())
		case app.Health.Threshold < 1 || app.Health.Threshold > thresholdMax:
			err = fmt.Errorf("health.threshold is not between 1 and %d", thresholdMax)
		case app.Health.Path != "" && !path.MatchString(app.Health.Path):
			err = fmt.Errorf("health.path %q is not a path", app.Health.Path)
		}
		if err != nil {
			return connect.Errorf(connect.InvalidArgument, "apps[%d]: %w", i, err)
		}
		seen[app.Name] = true
	}
	return nil
}

func same(a, b App) bool {
	return a.Name == b.Name && a.Command == b.Command && a.Port == b.Port && a.Start == b.Start &&
		a.Health == b.Health && maps.Equal(a.Env, b.Env)
}
