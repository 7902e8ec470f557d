package envd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"alcove.dev/agent/internal/connect"
)

const composeMax = 10_000

// composeRequest names files that become one; afterwards they are gone.
type composeRequest struct {
	Sources     []string `json:"source_paths"`
	Destination string   `json:"destination"`
	Username    string   `json:"username"`
}

// Compose serves POST /files/compose, with which a client puts a file together that it sent in parts.
func (c *Content) Compose(w http.ResponseWriter, r *http.Request) {
	done, err := c.compose(w, r)
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done)
}

func (c *Content) compose(w http.ResponseWriter, r *http.Request) (*written, error) {
	var request composeRequest
	body, err := connect.ReadBody(w, r, composeBodyMax)
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		return nil, connect.Errorf(connect.InvalidArgument, "the body is not the JSON it should be: %w", err)
	}
	if request.Destination == "" || len(request.Sources) == 0 || len(request.Sources) > composeMax {
		return nil, connect.Errorf(connect.InvalidArgument, "give a destination and between 1 and %d source_paths", composeMax)
	}
	if request.Username == "" {
		request.Username, _, _ = r.BasicAuth()
	}
	user, err := lookup(c.Files.Users, request.Username)
	if err != nil {
		return nil, err
	}
	u := &upload{content: c, user: user, base: c.Table.Workdir(), control: http.NewResponseController(w)}
	path, err := resolve(request.Destination, user, u.base)
	if err != nil {
		return nil, err
	}
	target, err := c.Files.Create(user, path)
	if err != nil {
		return nil, err
	}
	for i := range request.Sources {
		if request.Sources[i], err = resolve(request.Sources[i], user, u.base); err == nil {
			err = u.append(target, request.Sources[i])
		}
		if err != nil {
			target.Abort()
			return nil, err
		}
	}
	if err := target.Commit(nil); err != nil {
		return nil, err
	}
	for _, source := range request.Sources {
		if source != path {
			if err := c.Files.Remove(user, source); err != nil {
				return nil, fmt.Errorf("%s is complete, but a part is left: %w", path, err)
			}
		}
	}
	return &written{Name: filepath.Base(path), Path: path, Type: "file"}, nil
}

func (u *upload) append(target interface{ Write([]byte) (int, error) }, path string) error {
	source, _, err := u.content.Files.Open(u.user, path)
	if err != nil {
		return err
	}
	defer source.Close()
	return u.copy(target, turns{source})
}
