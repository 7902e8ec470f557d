// Package control serves the routes of the control plane: claim, start-up, logs, state and shutdown.
//
// Its one rule: every call may be repeated; the last one counts.
package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/startup"
)

const initBodyMax = 4 << 20

// Identity is whose workspace this is.
type Identity struct {
	WorkspaceID string `json:"workspace_id"`
	Owner       string `json:"owner"`
	Name        string `json:"name"`
}

// claim is the body of POST /init. The camelCase names are envd's.
type claim struct {
	Env            map[string]string `json:"env"`
	EnvVars        map[string]string `json:"envVars"`
	User           string            `json:"user"`
	DefaultUser    string            `json:"defaultUser"`
	Workdir        string            `json:"workdir"`
	DefaultWorkdir string            `json:"defaultWorkdir"`
	Hostname       string            `json:"hostname"`
	AccessToken    *string           `json:"access_token"`
	AccessTokenE2B *string           `json:"accessToken"`
	Identity       *Identity         `json:"identity"`
	Startup        *startup.Plan     `json:"startup"`
}

// Init serves POST /init.
type Init struct {
	Table    *process.Table
	Runner   *startup.Runner
	SetToken func(string)
}

func (i *Init) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c claim
	body, err := connect.ReadBody(w, r, initBodyMax)
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "the body is not the JSON it should be: %w", err))
		return
	}
	if err := i.apply(&c); err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (i *Init) apply(c *claim) error {
	env := c.Env
	if env == nil {
		env = c.EnvVars
	}
	for key, value := range env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(value, 0) {
			return connect.Errorf(connect.InvalidArgument, "env: %q is not a name of a variable, or its value has a NUL", key)
		}
	}
	if user := first(c.User, c.DefaultUser); user != "" {
		if err := i.Table.Users.SetDefault(user); err != nil {
			return fmt.Errorf("user: %w", err)
		}
	}
	if workdir := first(c.Workdir, c.DefaultWorkdir); workdir != "" {
		i.Table.SetWorkdir(workdir)
	}
	i.Table.Environment.Replace(env)
	token := ""
	if c.AccessToken != nil {
		token = *c.AccessToken
	} else if c.AccessTokenE2B != nil {
		token = *c.AccessTokenE2B
	}
	i.SetToken(token)
	if c.Hostname != "" {
		// Only with CAP_SYS_ADMIN, which the agent should not have; the driver sets it otherwise.
		_ = syscall.Sethostname([]byte(c.Hostname))
	}
	// Last: the steps run with all of the above.
	if c.Startup != nil {
		return i.Runner.Begin(*c.Startup)
	}
	return nil
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
