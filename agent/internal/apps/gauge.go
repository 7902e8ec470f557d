package apps

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"alcove.dev/agent/internal/frame"
	"alcove.dev/agent/internal/journal"
	"alcove.dev/agent/internal/process"
)

const (
	// burst and each are how much of what an app says is kept: so many bytes at once, so many a second. The log
	// is one for the whole workspace, and what its start-up said must not be lost to a chatty server.
	burst = 64 << 10
	each  = 1 << 10
)

// gauge passes output on to the log, within its bounds.
type gauge struct {
	lines   *journal.Splitter
	left    int
	filled  time.Time
	dropped int
}

func newGauge(lines *journal.Splitter) *gauge {
	return &gauge{lines: lines, left: burst, filled: time.Now()}
}

func (g *gauge) drain(reader *process.Reader) {
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := reader.Next(context.Background(), buffer)
		if err != nil {
			g.lines.Close()
			return
		}
		for rest := buffer[:n]; ; {
			_, payload, next, ok := frame.Split(rest)
			if !ok {
				break
			}
			g.write(payload, time.Now())
			rest = next
		}
	}
}

func (g *gauge) write(data []byte, now time.Time) {
	if seconds := int(now.Sub(g.filled) / time.Second); seconds > 0 {
		g.left = min(burst, g.left+min(seconds, burst)*each)
		g.filled = now
	}
	if len(data) > g.left {
		g.dropped += len(data)
		return
	}
	g.left -= len(data)
	if g.dropped > 0 {
		_, _ = fmt.Fprintf(g.lines, "\n[%d bytes are left out]\n", g.dropped)
		g.dropped = 0
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			data = data[end+1:] // the rest of a line whose beginning is missing
		}
	}
	_, _ = g.lines.Write(data)
}

func (g *gauge) last() string {
	const reasonMax = 300
	text := g.lines.Last()
	return strings.ToValidUTF8(text[:min(len(text), reasonMax)], "")
}
