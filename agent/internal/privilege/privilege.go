// Package privilege takes away from the agent what it does not need, before it serves anybody.
//
// Its one rule: it fails closed. What cannot be dropped stops the start.
package privilege

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

const (
	capKill     = 5
	capSetGID   = 6
	capSetUID   = 7
	capSetPCap  = 8
	capSysAdmin = 21 // under gVisor only, to change the host name

	prSetDumpable       = 4
	prCapBSetRead       = 23
	prCapBSetDrop       = 24
	prSetChildSubreaper = 36
	prCapAmbient        = 47
	prCapAmbientClear   = 4

	capabilityVersion3 = 0x20080522
	sysCloseRange      = 436 // the same on every architecture
	closeRangeCloexec  = 4
)

type capHeader struct {
	version uint32
	pid     int32
}

type capData struct{ effective, permitted, inheritable uint32 }

// Seal makes the agent unreadable to the users inside and its descriptors invisible to its children.
//
// Dumpable 0 is what stops ptrace, /proc/1/mem and /proc/1/environ for processes of the same user too.
func Seal() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("set dumpable to 0: %w", errno)
	}
	if os.Getpid() != 1 {
		// Orphans of the workspace must come to us, as they would to PID 1.
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
			return fmt.Errorf("become a subreaper: %w", errno)
		}
	}
	return closeOnExec()
}

func closeOnExec() error {
	_, _, errno := syscall.Syscall(sysCloseRange, 3, uintptr(^uint32(0)), closeRangeCloexec)
	if errno == 0 {
		return nil
	}
	// Older kernels and gVisor do not have it.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list own descriptors: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// ClearInheritable empties the sets that a child would get without asking, and keeps the others. What only
// the agent may have leaves the bounding set, so that no root inside gets it.
func ClearInheritable(renames bool) error {
	for _, capability := range []int{capSysAdmin, capSetPCap} {
		held, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prCapBSetRead, uintptr(capability), 0)
		if errno == 0 && held == 1 {
			if err := dropFromBounding(capability); err != nil {
				return err
			}
		}
	}
	header, data, err := capabilities()
	if err != nil {
		return err
	}
	for i := range data {
		data[i].inheritable = 0
	}
	shed := uint32(1 << capSetPCap)
	if !renames {
		shed |= 1 << capSysAdmin
	}
	data[0].permitted &^= shed
	data[0].effective &^= shed
	clearAmbient()
	return setCapabilities(header, data)
}

// DropForNone empties the bounding set and keeps only what starting children as the user needs: SETUID and
// SETGID to become the user, KILL to end the user's processes, and SYS_ADMIN where it renames. File capabilities are not among them: files
// are reached with the user's own rights.
func DropForNone(renames bool) error {
	last, err := lastCapability()
	if err != nil {
		return err
	}
	for capability := 0; capability <= last; capability++ {
		if err := dropFromBounding(capability); err != nil {
			return err
		}
	}
	clearAmbient()
	header, data, err := capabilities()
	if err != nil {
		return err
	}
	keep := uint32(1<<capKill | 1<<capSetGID | 1<<capSetUID)
	if renames {
		keep |= 1 << capSysAdmin
	}
	keep &= data[0].permitted
	data = [2]capData{{effective: keep, permitted: keep}}
	return setCapabilities(header, data)
}

func dropFromBounding(capability int) error {
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, prCapBSetDrop, uintptr(capability), 0)
	if errno != 0 {
		return fmt.Errorf("drop capability %d from the bounding set (is CAP_SETPCAP there?): %w", capability, errno)
	}
	return nil
}

func clearAmbient() {
	// Kernels before 4.3 have no ambient set, and then there is nothing to clear.
	_, _, _ = syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prCapAmbient, prCapAmbientClear, 0, 0, 0, 0)
}

func capabilities() (*capHeader, [2]capData, error) {
	header := &capHeader{version: capabilityVersion3}
	var data [2]capData
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return nil, data, fmt.Errorf("capget: %w", errno)
	}
	return header, data, nil
}

func setCapabilities(header *capHeader, data [2]capData) error {
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}

func lastCapability() (int, error) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		// A masked /proc/sys: ask the kernel instead, which refuses the first number it does not know.
		for capability := 0; capability < 64; capability++ {
			_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prCapBSetRead, uintptr(capability), 0)
			if errno != 0 {
				return capability - 1, nil
			}
		}
		return 63, nil
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read cap_last_cap: %w", err)
	}
	return last, nil
}
