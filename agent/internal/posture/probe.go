package posture

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maskedPaths are what a runtime should hide.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/bus", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore",
	"/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
	"/proc/slabinfo", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats", "/proc/vmallocinfo",
	"/proc/1/environ", "/proc/1/mem", "/proc/1/fd", "/proc/1/root", "/sys/dev/block", "/sys/devices/virtual/powercap",
	"/sys/firmware", "/sys/fs/bpf", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
}

// writablePaths are where writing is either expected or telling. The home directory is added.
var writablePaths = []string{
	"/", "/.alcove", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/mnt", "/opt", "/proc", "/proc/sys",
	"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/root", "/run", "/sbin", "/srv", "/sys", "/sys/fs/cgroup",
	"/sys/kernel", "/tmp", "/usr", "/usr/bin", "/usr/local", "/var", "/var/lib", "/var/tmp",
}

// Probe looks around and writes what it found to out. It is the whole life of the probe's process.
func Probe(out io.Writer) error {
	// First: looking opens descriptors itself.
	descriptors, err := ownDescriptors()
	if err != nil {
		return err
	}
	child := Child{Descriptors: descriptors, Masked: map[string]string{}, Writable: map[string]bool{}, Syscalls: trySyscalls()}
	if child.Credentials, err = readStatus("/proc/self/status"); err != nil {
		return err
	}
	if child.Namespaces, err = namespaces(); err != nil {
		return err
	}
	if child.Mounts, err = readMounts("/proc/self/mountinfo"); err != nil {
		return err
	}
	for _, path := range maskedPaths {
		child.Masked[path] = readable(path)
	}
	for _, path := range append(slices.Clone(writablePaths), os.Getenv("HOME")) {
		if path != "" {
			child.Writable[path] = syscall.Access(path, 2) == nil // W_OK
		}
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		child.Environment = append(child.Environment, name) // names only: values are not ours to tell
	}
	return json.NewEncoder(out).Encode(child)
}

func ownDescriptors() (map[string]string, error) {
	directory, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range names {
		target, err := os.Readlink("/proc/self/fd/" + name)
		// Not ours: the listing itself, and what Go's own poller opened for it.
		if err != nil || strings.HasSuffix(target, "/fd") || target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]" {
			continue
		}
		kind, _, _ := strings.Cut(target, ":")
		found[name] = kind
	}
	return found, nil
}

func namespaces() (map[string]string, error) {
	entries, err := os.ReadDir("/proc/self/ns")
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/ns", entry.Name()))
		if err != nil {
			return nil, err
		}
		found[entry.Name()] = target
	}
	return found, nil
}

// readable says what can be had from a path: absent, denied, empty or readable.
func readable(path string) string {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "absent"
	case err != nil:
		return "denied"
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "denied"
	}
	if info.IsDir() {
		names, err := file.Readdirnames(1)
		return outcome(len(names), err)
	}
	n, err := file.Read(make([]byte, 1))
	return outcome(n, err)
}

func outcome(n int, err error) string {
	switch {
	case n > 0:
		return "readable"
	case err == nil || errors.Is(err, io.EOF):
		return "empty"
	}
	return "denied"
}
