package control

import (
	"encoding/json"
	"net/http"
	"strings"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/fault"
	"alcove.dev/agent/internal/process"
)

const labelBodyMax = 4 << 10

// Terminals serves /alcove/terminals: the tagged terminals that run.
type Terminals struct{ Table *process.Table }

func (t *Terminals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		t.label(w, r)
		return
	}
	found := []process.Terminal{}
	for _, p := range t.Table.List() {
		if told, has := p.Terminal(); has && told.Tag != "" && strings.HasPrefix(told.Tag, r.URL.Query().Get("prefix")) {
			found = append(found, told)
		}
	}
	writeJSON(w, map[string]any{"terminals": found})
}

// label names one of them for people.
func (t *Terminals) label(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Tag   string `json:"tag"`
		Label string `json:"label"`
	}
	body, err := connect.ReadBody(w, r, labelBodyMax)
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil || request.Tag == "" {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, `the body must be {"tag": text, "label": text}`))
		return
	}
	p, err := t.Table.Find(0, request.Tag)
	if err != nil {
		connect.WriteError(w, fault.Of(err))
		return
	}
	p.SetLabel(request.Label)
	w.WriteHeader(http.StatusNoContent)
}
