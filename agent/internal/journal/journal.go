// Package journal keeps what start-up and the agent have to say: a bounded ring of lines.
//
// Its one rule: a line is never waited for. Who writes faster than others read makes the oldest lines go.
package journal

import (
	"context"
	"sync"
	"time"
)

const (
	// BytesMax bounds the ring.
	BytesMax = 1 << 20
	// LineMax bounds one line; a longer one is cut into several.
	LineMax = 8 << 10
	// lineCost is what a line costs beyond its text.
	lineCost = 96
)

// Line is one line.
type Line struct {
	Offset int64     `json:"offset"` // its number; a gap says that lines between have gone
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Text   string    `json:"line"`
}

// Journal is the ring. It is safe for concurrent use.
type Journal struct {
	mu    sync.Mutex
	lines []Line
	bytes int
	next  int64
	news  chan struct{} // closed when a line is added
}

// New makes an empty Journal.
func New() *Journal { return &Journal{news: make(chan struct{})} }

// Add adds a line.
func (j *Journal) Add(source, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for first := true; first || text != ""; first = false {
		piece := text[:min(len(text), LineMax)]
		text = text[len(piece):]
		j.lines = append(j.lines, Line{Offset: j.next, At: time.Now().UTC(), Source: source, Text: piece})
		j.bytes += len(piece) + lineCost
		j.next++
	}
	drop := 0
	for j.bytes > BytesMax {
		j.bytes -= len(j.lines[drop].Text) + lineCost
		drop++
	}
	j.lines = j.lines[drop:]
	close(j.news)
	j.news = make(chan struct{})
}

// From gives the lines from offset on, at most limit of them, and what to wait for when there are none.
func (j *Journal) From(offset int64, limit int) ([]Line, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := j.next - int64(len(j.lines))
	start := min(max(0, offset-first), int64(len(j.lines)))
	lines := j.lines[start:]
	lines = lines[:min(limit, len(lines))]
	return append([]Line(nil), lines...), j.news
}

// Follow calls visit with every line from offset on, until ctx ends or visit fails.
func (j *Journal) Follow(ctx context.Context, offset int64, visit func([]Line) error) error {
	for {
		lines, news := j.From(offset, 256)
		if len(lines) > 0 {
			offset = lines[len(lines)-1].Offset + 1
			if err := visit(lines); err != nil {
				return err
			}
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
