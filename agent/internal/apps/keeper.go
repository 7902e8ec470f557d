package apps

import (
	"context"
	"fmt"
	"sync"
	"time"

	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/startup"
)

const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
	// calm is how long a command has run when the next failure counts as the first again.
	calm = time.Minute
	// eager is how often an app that starts is looked at.
	eager = 250 * time.Millisecond
)

// keeper keeps one app.
type keeper struct {
	supervisor *Supervisor
	app        App
	stop       context.CancelFunc
	used       chan struct{}
	once       sync.Once
	gone       chan struct{} // closed when nothing of it runs any more

	mu     sync.Mutex
	report Report
}

func (k *keeper) look() Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.report
}

func (k *keeper) use() { k.once.Do(func() { close(k.used) }) }

// say notes how it is; since changes with the state only.
func (k *keeper) say(state State, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.report.State != state {
		k.report.Since = time.Now().UTC()
	}
	k.report.State, k.report.Reason = state, reason
}

func (k *keeper) note(change func(*Report)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.report)
}

// run lasts until ctx ends. What was kept before under the same name ends first.
func (k *keeper) run(ctx context.Context, before <-chan struct{}) {
	defer close(k.gone)
	if before != nil {
		<-before
	}
	if !k.afterStartup(ctx) {
		return
	}
	if k.app.Start == "first_use" && k.app.Command != "" {
		k.say(Waiting, "starts when it is opened")
		select {
		case <-k.used:
		case <-ctx.Done():
			return
		}
	}
	if k.app.Command == "" {
		k.say(Starting, "nothing answers yet")
		k.watch(ctx, nil)
		return
	}
	pause := backoffFirst
	for ctx.Err() == nil && !k.supervisor.closing.Load() {
		began := time.Now()
		reason := k.attempt(ctx)
		if ctx.Err() != nil || k.supervisor.closing.Load() {
			return
		}
		if time.Since(began) > calm {
			pause = backoffFirst
		}
		k.say(Unhealthy, fmt.Sprintf("%s; started again in %s", reason, pause))
		k.supervisor.journal.Add("app/"+k.app.Name, "["+reason+"]")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, backoffMax)
		k.note(func(r *Report) { r.Restarts++ })
	}
}

// afterStartup waits for the start-up steps to end, however they do.
func (k *keeper) afterStartup(ctx context.Context) bool {
	seen := int64(-1)
	for ctx.Err() == nil {
		report := k.supervisor.runner.Wait(ctx, seen)
		if report.State != startup.Running {
			return ctx.Err() == nil
		}
		seen = report.Revision
	}
	return false
}

// attempt runs the command to its end and says why it ended.
func (k *keeper) attempt(ctx context.Context) string {
	k.say(Starting, "started")
	shell, err := startup.Shell(k.supervisor.table)
	if err != nil {
		return err.Error()
	}
	p, reader, err := k.supervisor.table.Start(process.Spec{
		Cmd: shell, Args: startup.InProfile(shell, k.app.Command), Env: k.app.Env, Service: true,
	})
	if err != nil {
		return err.Error()
	}
	k.note(func(r *Report) { r.PID = p.PID })
	defer k.note(func(r *Report) { r.PID = 0 })
	output := newGauge(k.supervisor.journal.Splitter("app/" + k.app.Name))
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		defer reader.Close()
		output.drain(reader)
	}()
	watching, done := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		k.watch(watching, p.Done())
	}()
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		<-p.Done()
	}
	done()
	<-watched
	<-drained
	exit := p.Exit()
	switch {
	case exit.Error != "":
		return exit.Error
	case exit.Signal != "":
		return "ended by " + exit.Signal
	case output.last() != "":
		return fmt.Sprintf("exit code %d: %s", exit.Code, output.last())
	}
	return fmt.Sprintf("exit code %d", exit.Code)
}

// watch asks again and again whether it answers, until ctx ends or its command has ended.
func (k *keeper) watch(ctx context.Context, ended <-chan struct{}) {
	failed, answered := 0, false
	interval := time.Duration(k.app.Health.IntervalMS) * time.Millisecond
	began := time.Now()
	for {
		err := probe(ctx, k.app)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failed, answered = 0, true
			k.say(Healthy, "")
		default:
			failed++
			// One that starts is looked at often: it has as long as one that runs would have.
			overdue := time.Since(began) > interval*time.Duration(k.app.Health.Threshold)
			if answered && failed >= k.app.Health.Threshold || !answered && overdue {
				k.say(Unhealthy, err.Error())
			}
		}
		pause := interval
		if !answered {
			pause = min(eager, interval)
			if time.Since(began) > time.Minute {
				pause = min(5*time.Second, interval)
			}
		}
		select {
		case <-time.After(pause):
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}
