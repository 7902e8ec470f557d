package envd

import (
	"encoding/json"
	"fmt"
	"syscall"

	"alcove.dev/agent/internal/connect"
)

// The messages of process.proto in their JSON form.

type config struct {
	Cmd  string            `json:"cmd"`
	Args []string          `json:"args"`
	Envs map[string]string `json:"envs"`
	Cwd  string            `json:"cwd,omitempty"`
}

type terminal struct {
	Size *struct {
		Cols uint32 `json:"cols"`
		Rows uint32 `json:"rows"`
	} `json:"size"`
}

type selector struct {
	PID int    `json:"pid"`
	Tag string `json:"tag"`
}

type startRequest struct {
	Process config    `json:"process"`
	PTY     *terminal `json:"pty"`
	Tag     string    `json:"tag"`
	Stdin   *bool     `json:"stdin"`
}

type connectRequest struct {
	Process selector `json:"process"`
}

type updateRequest struct {
	Process selector  `json:"process"`
	PTY     *terminal `json:"pty"`
}

type input struct {
	Stdin *connect.Bytes `json:"stdin"`
	PTY   *connect.Bytes `json:"pty"`
}

type inputRequest struct {
	Process selector `json:"process"`
	Input   input    `json:"input"`
}

type streamInputRequest struct {
	Start *struct {
		Process selector `json:"process"`
	} `json:"start"`
	Data *struct {
		Input input `json:"input"`
	} `json:"data"`
}

type signalRequest struct {
	Process selector   `json:"process"`
	Signal  signalName `json:"signal"`
}

// signalName is the JSON form of an enum: its name or its number.
type signalName syscall.Signal

func (s *signalName) UnmarshalJSON(text []byte) error {
	var number int
	if json.Unmarshal(text, &number) == nil {
		*s = signalName(number)
		return nil
	}
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	switch name {
	case "SIGNAL_SIGTERM":
		*s = signalName(syscall.SIGTERM)
	case "SIGNAL_SIGKILL":
		*s = signalName(syscall.SIGKILL)
	default:
		return fmt.Errorf("unknown signal %q", name)
	}
	return nil
}

type empty struct{}

type processInfo struct {
	Config config `json:"config"`
	PID    int    `json:"pid"`
	Tag    string `json:"tag,omitempty"`
}

type listResponse struct {
	Processes []processInfo `json:"processes"`
}

// event is a StartResponse and a ConnectResponse, which have the same form.
type event struct {
	Event eventBody `json:"event"`
}

type eventBody struct {
	Start     *startEvent `json:"start,omitempty"`
	Data      *dataEvent  `json:"data,omitempty"`
	End       *endEvent   `json:"end,omitempty"`
	Keepalive *empty      `json:"keepalive,omitempty"`
}

type startEvent struct {
	PID int `json:"pid"`
}

type dataEvent struct {
	Stdout connect.Bytes `json:"stdout,omitempty"`
	Stderr connect.Bytes `json:"stderr,omitempty"`
	PTY    connect.Bytes `json:"pty,omitempty"`
}

type endEvent struct {
	ExitCode int    `json:"exitCode"`
	Exited   bool   `json:"exited"`
	Status   string `json:"status"`
	Error    string `json:"error,omitempty"`
}
