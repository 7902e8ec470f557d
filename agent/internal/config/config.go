// Package config reads the environment that the driver starts the agent with.
//
// It is the only place that looks at the environment, and nothing secret may ever be in it: whatever
// starts a process can usually read how it was started.
package config

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Root says whether anybody inside may become uid 0 of the workspace's user namespace.
type Root int

const (
	// RootNone means that nobody may: processes have no capabilities and can gain none.
	RootNone Root = iota
	// RootContained means that `sudo` works, inside the user namespace.
	RootContained
)

// String gives the word that templates use.
func (r Root) String() string {
	if r == RootContained {
		return "contained"
	}
	return "none"
}

// Config is everything that is known when the agent starts.
type Config struct {
	Listen      string
	ControlHash []byte // SHA-256 of the control key; nil means that nobody is the control plane
	User        string
	Workdir     string
	Root        Root
	// Renames says that the agent gives the workspace its host name, because nobody outside can.
	Renames  bool
	ImageEnv map[string]string
}

// Load reads the configuration through getenv (os.Getenv, or a map in tests).
func Load(getenv func(string) string) (Config, error) {
	config := Config{
		Listen:  getenv("ALCOVE_LISTEN"),
		User:    getenv("ALCOVE_USER"),
		Workdir: getenv("ALCOVE_WORKDIR"),
		Renames: getenv("ALCOVE_RENAMES") == "1",
	}
	if config.Listen == "" {
		return Config{}, fmt.Errorf("ALCOVE_LISTEN is not set: give fd:3, dial:/directory, unix:/path or tcp:address:port")
	}
	if text := getenv("ALCOVE_CONTROL_SHA256"); text != "" {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != 32 {
			return Config{}, fmt.Errorf("ALCOVE_CONTROL_SHA256 must be 64 hexadecimal digits")
		}
		config.ControlHash = hash
	}
	switch text := getenv("ALCOVE_ROOT"); text {
	case "", "none":
		config.Root = RootNone
	case "contained":
		config.Root = RootContained
	default:
		return Config{}, fmt.Errorf("ALCOVE_ROOT is %q: it must be none or contained", text)
	}
	env, err := parseImageEnv(getenv("ALCOVE_IMAGE_ENV"))
	if err != nil {
		return Config{}, fmt.Errorf("ALCOVE_IMAGE_ENV: %w", err)
	}
	config.ImageEnv = env
	return config, nil
}

// parseImageEnv takes {"K": "v"} or the form of an OCI image's config, ["K=v"].
func parseImageEnv(text string) (map[string]string, error) {
	env := map[string]string{}
	if text == "" {
		return env, nil
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		if err := json.Unmarshal([]byte(text), &env); err != nil {
			return nil, fmt.Errorf("not a JSON object of strings: %w", err)
		}
		return env, nil
	}
	var pairs []string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("neither an object nor a list of K=v: %w", err)
	}
	for _, pair := range pairs {
		if key, value, found := strings.Cut(pair, "="); found {
			env[key] = value
		}
	}
	return env, nil
}
