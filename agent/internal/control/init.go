// Package control serves the routes of the control plane: claim, start-up, logs, state and shutdown.
//
// Its one rule: every call may be repeated; the last one counts.
package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"

	"alcove.dev/agent/internal/apps"
	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/filesystem"
	"alcove.dev/agent/internal/identity"
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
	// FirstClaim says that nobody may have had this agent before; its value tells one claim from another.
	FirstClaim string            `json:"first_claim"`
	Files      map[string]string `json:"files"`
	// Apps are all that there are from now on; absent says nothing of them.
	Apps *[]apps.App `json:"apps"`
}

// Init serves POST /init.
type Init struct {
	Table    *process.Table
	Runner   *startup.Runner
	SetToken func(string)
	Files    *filesystem.Files
	Apps     *apps.Supervisor

	mutex   sync.Mutex
	told    bool
	claimed string // the mark of the first claim, if that had one
	wrote   string // whose files were written
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
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if c.FirstClaim != "" && i.told && i.claimed != c.FirstClaim {
		return connect.Errorf(connect.AlreadyExists, "this agent has been claimed before: it is not handed out twice")
	}
	env := c.Env
	if env == nil {
		env = c.EnvVars
	}
	for key, value := range env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(value, 0) {
			return connect.Errorf(connect.InvalidArgument, "env: %q is not a name of a variable, or its value has a NUL", key)
		}
	}
	i.told = true
	if c.FirstClaim != "" {
		i.claimed = c.FirstClaim
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
		// Only with CAP_SYS_ADMIN, which the agent has under gVisor alone; elsewhere the driver sets it.
		_ = syscall.Sethostname([]byte(c.Hostname))
	}
	if err := i.write(c); err != nil {
		return err
	}
	// Last: the steps run with all of the above.
	if c.Startup != nil {
		if err := i.Runner.Begin(*c.Startup); err != nil {
			return err
		}
	}
	if c.Apps != nil {
		return i.Apps.Set(*c.Apps)
	}
	return nil
}

// write makes the files of the claim, as the user. What its owner changed since is not written over when the
// claim is repeated.
func (i *Init) write(c *claim) error {
	whose := "?"
	if c.Identity != nil {
		whose = c.Identity.WorkspaceID
	}
	if len(c.Files) == 0 || i.wrote == whose {
		return nil
	}
	user, err := i.Table.Users.Lookup("")
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(c.Files)) {
		if err := i.writeOne(user, path, c.Files[path]); err != nil {
			return fmt.Errorf("files: %s: %w", path, err)
		}
	}
	i.wrote = whose
	return nil
}

func (i *Init) writeOne(user identity.User, path, text string) error {
	if path == "" || strings.ContainsRune(path, 0) {
		return connect.Errorf(connect.InvalidArgument, "this cannot be a path")
	}
	w, err := i.Files.Create(user, process.Resolve(path, user, ""))
	if err != nil {
		return err
	}
	if _, err := w.WriteString(text); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(nil)
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
