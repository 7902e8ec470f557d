package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"alcove.dev/agent/internal/activity"
)

const (
	// reclaimEvery is how often the agent looks whether it can give memory back.
	reclaimEvery = 5 * time.Second
	// quietAfter is how long nothing may have moved for that: it costs a collection.
	quietAfter = 3 * time.Second
	// worthwhile is how much must have been allocated since the last time.
	worthwhile = 256 << 10
)

// reclaim gives memory back when the workspace is quiet. A machine has hundreds of agents, nearly all of them
// idle; Go alone would keep what the last busy moment needed.
func reclaim(meter *activity.Meter) {
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var last uint64
	for range time.Tick(reclaimEvery) {
		if time.Since(meter.Last()) < quietAfter {
			continue
		}
		metrics.Read(allocated)
		if now := allocated[0].Value.Uint64(); now-last > worthwhile {
			debug.FreeOSMemory()
			last = now
		}
	}
}
