// Package startup runs what a workspace does first: clone its repository, run its scripts.
//
// Its one rule: it depends on nobody outside. The control plane gives the steps once and may then be away;
// they run to their end, and how they ended can be asked at any time.
package startup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/process"
)

const (
	stepsMax       = 64
	scriptMax      = 256 << 10
	timeoutDefault = 10 * time.Minute
	cloneTimeout   = time.Hour
	timeoutMax     = 24 * time.Hour
)

// State is how far a start-up or a step is.
type State string

// The states; Skipped is for steps only.
const (
	Pending State = "pending"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Step is one thing to do, as the control plane says it.
type Step struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"` // clone or script
	Required  bool   `json:"required"`
	TimeoutMS int64  `json:"timeout_ms"`

	URL         string `json:"url"`
	Branch      string `json:"branch"`
	Dir         string `json:"dir"`
	AuthorName  string `json:"author_name"`
	AuthorEmail string `json:"author_email"`

	Run         string `json:"run"`
	Cwd         string `json:"cwd"`
	BlocksLogin bool   `json:"blocks_login"`
}

// Plan is all of it. An id runs once in the life of an agent.
type Plan struct {
	ID    string `json:"id"`
	Steps []Step `json:"steps"`
}

// Progress is how one step is.
type Progress struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	State       State      `json:"state"`
	BlocksLogin bool       `json:"blocks_login"`
	StartedAt   *time.Time `json:"started_at"`
	EndedAt     *time.Time `json:"ended_at"`
	ExitCode    *int       `json:"exit_code"`
	Error       string     `json:"error,omitempty"`
}

// Report is how the start-up is. Revision grows with every change.
type Report struct {
	ID       string     `json:"id"`
	State    State      `json:"state"`
	Revision int64      `json:"revision"`
	Steps    []Progress `json:"steps"`
}

// Runner runs start-ups, one at a time.
type Runner struct {
	table   *process.Table
	journal *journal.Journal

	mu      sync.Mutex
	report  Report
	ran     map[string]bool
	changed chan struct{}
}

// New makes a Runner that has nothing to do yet.
func New(table *process.Table, log *journal.Journal) *Runner {
	return &Runner{
		table: table, journal: log, ran: map[string]bool{}, changed: make(chan struct{}),
		report: Report{State: Pending, Steps: []Progress{}},
	}
}

// Begin starts a plan, unless its id has run or is running.
func (r *Runner) Begin(plan Plan) error {
	if err := plan.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ran[plan.ID] {
		return nil
	}
	if r.report.State == Running {
		return connect.Errorf(connect.FailedPrecondition, "startup: %q is running; wait for its end", r.report.ID)
	}
	// Bounded: each id costs a whole start-up.
	r.ran[plan.ID] = true
	steps := make([]Progress, len(plan.Steps))
	for i, step := range plan.Steps {
		steps[i] = Progress{Name: step.Name, Kind: step.Kind, State: Pending, BlocksLogin: step.BlocksLogin}
	}
	r.report.ID, r.report.State, r.report.Steps = plan.ID, Running, steps
	r.touch()
	go r.run(plan)
	return nil
}

func (p *Plan) check() error {
	if p.ID == "" {
		return connect.Errorf(connect.InvalidArgument, "startup.id is missing")
	}
	if len(p.Steps) > stepsMax {
		return connect.Errorf(connect.InvalidArgument, "startup.steps: more than %d", stepsMax)
	}
	for i := range p.Steps {
		step := &p.Steps[i]
		if step.Name == "" {
			step.Name = fmt.Sprintf("%s-%d", step.Kind, i+1)
		}
		if step.TimeoutMS < 0 || step.TimeoutMS > timeoutMax.Milliseconds() {
			return connect.Errorf(connect.InvalidArgument, "startup.steps[%d].timeout_ms is not between 0 and %d", i, timeoutMax.Milliseconds())
		}
		var err error
		switch step.Kind {
		case "clone":
			err = step.checkClone()
		case "script":
			if step.Run == "" || len(step.Run) > scriptMax {
				err = fmt.Errorf("run must have between 1 and %d bytes", scriptMax)
			}
		default:
			err = fmt.Errorf("kind %q is neither clone nor script", step.Kind)
		}
		if err != nil {
			return connect.Errorf(connect.InvalidArgument, "startup.steps[%d]: %w", i, err)
		}
	}
	return nil
}

// Report says how it is.
func (r *Runner) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copy()
}

func (r *Runner) copy() Report {
	report := r.report
	report.Steps = append([]Progress{}, r.report.Steps...)
	return report
}

// Wait says how it is as soon as the revision is not seen, or when ctx ends.
func (r *Runner) Wait(ctx context.Context, seen int64) Report {
	for {
		r.mu.Lock()
		report, changed := r.copy(), r.changed
		r.mu.Unlock()
		if report.Revision != seen {
			return report
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return report
		}
	}
}

func (r *Runner) touch() {
	r.report.Revision++
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Runner) run(plan Plan) {
	state, directory := Done, ""
	for i, step := range plan.Steps {
		now := time.Now().UTC()
		r.set(i, func(p *Progress) { p.State, p.StartedAt = Running, &now })
		result := r.step(step, directory)
		if step.Kind == "clone" && result.state != Failed {
			directory = step.Dir // scripts start where the repository is
		}
		ended := time.Now().UTC()
		r.set(i, func(p *Progress) {
			p.State, p.EndedAt, p.ExitCode, p.Error = result.state, &ended, result.code, result.reason
		})
		if result.state != Failed {
			continue
		}
		state = Failed
		r.journal.Add("agent", fmt.Sprintf("start-up step %q failed: %s", step.Name, result.reason))
		if step.Required {
			r.skipAfter(i)
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.State = state
	r.touch()
}

func (r *Runner) skipAfter(last int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := last + 1; i < len(r.report.Steps); i++ {
		r.report.Steps[i].State = Skipped
	}
}

func (r *Runner) set(index int, change func(*Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.report.Steps[index])
	r.touch()
}
