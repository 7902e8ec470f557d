package process

import (
	"maps"
	"slices"
	"sync"

	"alcove.dev/agent/internal/identity"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Environment is what every process gets: the image's variables, the user's, then those given at claim time.
// Nothing of the agent's own environment is in it.
type Environment struct {
	mu    sync.Mutex
	image map[string]string
	given map[string]string
}

// NewEnvironment starts from the image's variables.
func NewEnvironment(image map[string]string) *Environment {
	return &Environment{image: maps.Clone(image)}
}

// Replace sets the variables given at claim time; what was given before is forgotten.
func (e *Environment) Replace(given map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.given = maps.Clone(given)
}

// For gives the environment of one process as a map; own variables win.
func (e *Environment) For(user identity.User, own map[string]string) map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	env := map[string]string{"PATH": defaultPath}
	maps.Copy(env, e.image)
	env["HOME"], env["USER"], env["LOGNAME"], env["SHELL"] = user.Home, user.Name, user.Name, user.Shell
	maps.Copy(env, e.given)
	maps.Copy(env, own)
	if env["LANG"] == "" && env["LC_ALL"] == "" && env["LC_CTYPE"] == "" {
		// Nothing else of C.UTF-8 is unlike C, and told by LANG every program reads a dozen files more as it starts.
		env["LC_CTYPE"] = "C.UTF-8"
	}
	return env
}

func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}
