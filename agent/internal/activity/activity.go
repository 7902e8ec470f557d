// Package activity remembers when bytes last moved in or out of the workspace.
//
// Whether a workspace is idle is decided by the control plane; this is one of the facts it decides on.
package activity

import (
	"sync/atomic"
	"time"
)

// Meter counts open streams and remembers the last movement. It is safe for concurrent use.
type Meter struct {
	last    atomic.Int64
	streams atomic.Int64
}

// Touch notes that something moved now.
func (m *Meter) Touch() { m.last.Store(time.Now().UnixNano()) }

// Last is when something moved, or the zero time if nothing has.
func (m *Meter) Last() time.Time {
	if at := m.last.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}

// Open counts a stream as open, if fewer than limit are.
func (m *Meter) Open(limit int64) bool {
	if m.streams.Add(1) > limit {
		m.streams.Add(-1)
		return false
	}
	m.Touch()
	return true
}

// Close ends what Open began.
func (m *Meter) Close() {
	m.streams.Add(-1)
	m.Touch()
}

// Streams is how many are open.
func (m *Meter) Streams() int64 { return m.streams.Load() }
