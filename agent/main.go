// Command alcove-agent is PID 1 of a workspace. It serves the control plane over one socket.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"alcove.dev/agent/internal/config"
	"alcove.dev/agent/internal/posture"
	"alcove.dev/agent/internal/privilege"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/server"
	"alcove.dev/agent/internal/sftp"
	"alcove.dev/agent/internal/threads"
)

var version = "dev"

const (
	shutdownGrace = 10 * time.Second
	memoryLimit   = 256 << 20
)

func init() {
	// The first thread stays what it is: what /proc/1/status shows is its, and must not change because it
	// happens to act for a user just then.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("alcove-agent", version)
		return
	}
	if len(os.Args) == 2 && os.Args[1] == posture.ProbeArgument {
		if err := posture.Probe(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "alcove-agent:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == sftp.Argument {
		if err := sftp.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "alcove-agent:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "alcove-agent:", err)
		os.Exit(1)
	}
}

func run() error {
	// The agent moves bytes and waits; more threads would only be more memory.
	runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(memoryLimit)
	syscall.Umask(0o022)

	settings, err := config.Load(os.Getenv)
	if err != nil {
		return err
	}
	os.Clearenv()
	if err := privilege.Seal(); err != nil {
		return err
	}
	if err := shed(settings); err != nil {
		return err
	}
	threads.Reserve()
	agent, err := assemble(settings)
	if err != nil {
		return err
	}
	listener, err := server.Listen(settings.Listen, os.Stdin, agent.guard)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	outlive()
	go reclaim(agent.meter)

	served := make(chan error, 1)
	http := agent.routes.Server()
	go func() { served <- http.Serve(listener) }()
	grace := shutdownGrace
	select {
	case <-stop:
	case grace = <-agent.shutdown:
	case err := <-served:
		return fmt.Errorf("serve %s: %w", settings.Listen, err)
	}
	agent.apps.Close()
	end(http, agent.table, grace)
	return nil
}

// shed gives up what the template's root: setting says the agent must not have.
func shed(settings config.Config) error {
	if os.Getuid() != 0 {
		return nil
	}
	if settings.Root == config.RootNone {
		return privilege.DropForNone(settings.Renames)
	}
	return privilege.ClearInheritable(settings.Renames)
}

// outlive makes the catchable signals harmless. They are caught and not ignored: children would inherit that.
func outlive() {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGTSTP, syscall.SIGTTIN,
		syscall.SIGTTOU, syscall.SIGPIPE, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGSYS, syscall.SIGSTKFLT,
		syscall.SIGIO, syscall.SIGPWR, syscall.SIGWINCH, syscall.SIGCONT)
	go func() {
		for range ignored {
		}
	}()
}

// end shuts the workspace down in order: no new requests, processes end, the disk has everything.
func end(http *http.Server, table *process.Table, grace time.Duration) {
	table.EndAll(grace)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := http.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "alcove-agent: close:", err)
	}
	synced := make(chan struct{})
	go func() {
		syscall.Sync()
		close(synced)
	}()
	select {
	case <-synced:
	case <-time.After(5 * time.Second):
	}
}
