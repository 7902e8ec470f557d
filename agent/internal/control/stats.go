package control

import (
	"net/http"

	"alcove.dev/agent/internal/stats"
)

// Stats serves GET /alcove/stats.
type Stats struct{ Collector *stats.Collector }

func (s *Stats) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.Collector.Collect())
}
