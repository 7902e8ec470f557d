// Package posture tells what a workspace looks like from inside, so that what was promised can be compared
// with what is.
//
// Its one rule: it reports and does not judge. The probe is this program, started as the user, so that it
// needs nothing of the image.
package posture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ProbeArgument makes the program a probe.
const ProbeArgument = "--posture-probe"

// Posture is the answer of GET /alcove/posture.
type Posture struct {
	Hostname string `json:"hostname"`
	Agent    Agent  `json:"agent"`
	Child    Child  `json:"child"`
}

// Credentials are what /proc/PID/status says.
type Credentials struct {
	UID        []int  `json:"uid"` // real, effective, saved, file system
	GID        []int  `json:"gid"`
	Groups     []int  `json:"groups"`
	CapInh     string `json:"cap_inh"`
	CapPrm     string `json:"cap_prm"`
	CapEff     string `json:"cap_eff"`
	CapBnd     string `json:"cap_bnd"`
	CapAmb     string `json:"cap_amb"`
	NoNewPrivs bool   `json:"no_new_privs"`
	Seccomp    int    `json:"seccomp"` // 0 none, 1 strict, 2 filter
	Filters    int    `json:"seccomp_filters"`
}

// Agent is how the agent itself is confined.
type Agent struct {
	Credentials
	PID            int  `json:"pid"`
	Threads        int  `json:"threads"`
	ThreadsUniform bool `json:"threads_uniform"`
}

// Child is what a process that was started as the user finds.
type Child struct {
	Credentials
	Namespaces  map[string]string `json:"namespaces"`
	Descriptors map[string]string `json:"fds"`
	Mounts      []Mount           `json:"mounts"`
	Masked      map[string]string `json:"masked"`   // path → absent, denied, empty, readable
	Writable    map[string]bool   `json:"writable"` // path → whether the user can write there
	Syscalls    map[string]string `json:"syscalls"` // call → the error it got, or OK
	Environment []string          `json:"environment"`
}

// Mount is one line of mountinfo.
type Mount struct {
	MountPoint   string   `json:"mount_point"`
	Root         string   `json:"root"`
	FSType       string   `json:"fstype"`
	Source       string   `json:"source"`
	Options      []string `json:"options"`
	SuperOptions []string `json:"super_options"`
}

// Self describes the agent.
func Self() (Agent, error) {
	own, err := readStatus("/proc/self/status")
	if err != nil {
		return Agent{}, err
	}
	agent := Agent{Credentials: own, PID: os.Getpid(), ThreadsUniform: true}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return Agent{}, err
	}
	for _, thread := range threads {
		status, err := readStatus(filepath.Join("/proc/self/task", thread.Name(), "status"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Agent{}, err
		}
		agent.Threads++
		if !status.confinedAs(own) {
			agent.ThreadsUniform = false
		}
	}
	return agent, nil
}

// confinedAs compares what does not change while a thread acts for a user.
func (c Credentials) confinedAs(other Credentials) bool {
	return c.CapBnd == other.CapBnd && c.CapPrm == other.CapPrm && c.CapInh == other.CapInh &&
		c.NoNewPrivs == other.NoNewPrivs && c.Seccomp == other.Seccomp && c.Filters == other.Filters
}

func readStatus(path string) (Credentials, error) {
	file, err := os.Open(path)
	if err != nil {
		return Credentials{}, err
	}
	defer file.Close()
	c := Credentials{Groups: []int{}}
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		key, value, _ := strings.Cut(scanner.Text(), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Uid":
			c.UID = numbers(value)
		case "Gid":
			c.GID = numbers(value)
		case "Groups":
			c.Groups = numbers(value)
		case "CapInh":
			c.CapInh = value
		case "CapPrm":
			c.CapPrm = value
		case "CapEff":
			c.CapEff = value
		case "CapBnd":
			c.CapBnd = value
		case "CapAmb":
			c.CapAmb = value
		case "NoNewPrivs":
			c.NoNewPrivs = value == "1"
		case "Seccomp":
			c.Seccomp, _ = strconv.Atoi(value)
		case "Seccomp_filters":
			c.Filters, _ = strconv.Atoi(value)
		}
	}
	return c, scanner.Err()
}

func numbers(text string) []int {
	list := []int{}
	for field := range strings.FieldsSeq(text) {
		if number, err := strconv.Atoi(field); err == nil {
			list = append(list, number)
		}
	}
	return list
}

// readMounts parses mountinfo (proc(5)): id, parent, device, root, mount point, options, optional fields,
// a dash, type, source, options of the file system.
func readMounts(path string) ([]Mount, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var mounts []Mount
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 {
			return nil, fmt.Errorf("%s: a line cannot be read: %q", path, line)
		}
		mounts = append(mounts, Mount{
			MountPoint: unescape(fields[4]), Root: unescape(fields[3]), FSType: fields[dash+1], Source: unescape(fields[dash+2]),
			Options: strings.Split(fields[5], ","), SuperOptions: strings.Split(fields[dash+3], ","),
		})
	}
	return mounts, nil
}

// unescape undoes the kernel's octal form of spaces.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
