package process

import (
	"bytes"
	"os"
	"strconv"

	"alcove.dev/agent/internal/threads"
)

// oomKills is how often the kernel has killed something in this workspace for want of memory, or 0 where
// the workspace cannot see its cgroup.
func oomKills() int64 {
	threads.Enter()
	defer threads.Leave()
	for _, path := range []string{
		"/sys/fs/cgroup/memory.events",             // version 2
		"/sys/fs/cgroup/memory/memory.oom_control", // version 1
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			if rest, found := bytes.CutPrefix(line, []byte("oom_kill ")); found {
				count, _ := strconv.ParseInt(string(rest), 10, 64)
				return count
			}
		}
	}
	return 0
}
