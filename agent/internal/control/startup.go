package control

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/startup"
)

const waitMax = 2 * time.Minute

// Startup serves GET /alcove/startup.
type Startup struct{ Runner *startup.Runner }

func (s *Startup) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !query.Has("wait") {
		writeJSON(w, s.Runner.Report())
		return
	}
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil || wait < 0 {
		connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "wait %q is not a duration like 30s", query.Get("wait")))
		return
	}
	seen, err := strconv.ParseInt(query.Get("seen"), 10, 64)
	if err != nil {
		seen = -1
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, waitMax))
	defer cancel()
	writeJSON(w, s.Runner.Wait(ctx, seen))
}

// Logs serves GET /alcove/logs: one JSON object per line.
type Logs struct{ Journal *journal.Journal }

func (l *Logs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	offset := int64(0)
	if text := query.Get("offset"); text != "" {
		parsed, err := strconv.ParseInt(text, 10, 64)
		if err != nil || parsed < 0 {
			connect.WriteError(w, connect.Errorf(connect.InvalidArgument, "offset %q is not a number from 0", text))
			return
		}
		offset = parsed
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	visit := func(lines []journal.Line) error {
		for _, line := range lines {
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
		return http.NewResponseController(w).Flush()
	}
	if query.Get("follow") == "1" || query.Get("follow") == "true" {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_ = l.Journal.Follow(r.Context(), offset, visit)
		return
	}
	lines, _ := l.Journal.From(offset, 1<<20)
	_ = visit(lines)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
