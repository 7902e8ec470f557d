package posture

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	// The same on every architecture.
	sysIOUringSetup = 425

	ptraceSeize  = 0x4206
	ptraceDetach = 17
	afPacket     = 17
	afALG        = 38
	afVSOCK      = 40
	bpfProgLoad  = 5
)

// trySyscalls makes calls that a workspace should not be able to make, each in a form that does nothing
// where it is allowed: without arguments, or with ones that the kernel finds wrong only after its checks.
func trySyscalls() map[string]string {
	found := map[string]string{}
	call := func(name string, number uintptr, arguments ...uintptr) {
		var a [6]uintptr
		copy(a[:], arguments)
		result, _, errno := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		found[name] = errnoName(errno)
		if errno == 0 && returnsDescriptor[name] {
			syscall.Close(int(result))
		}
	}
	invalid := ^uintptr(0)
	empty := uintptr(unsafe.Pointer(&[1]byte{}))
	call("io_uring_setup", sysIOUringSetup, 0, 0)
	call("keyctl", syscall.SYS_KEYCTL, 0, uintptr(0xfffffffd), 0) // the number of the session keyring, not made
	call("add_key", syscall.SYS_ADD_KEY, 0, 0, 0, 0, 0)
	call("request_key", syscall.SYS_REQUEST_KEY, 0, 0, 0, 0)
	call("bpf", sysBPF, bpfProgLoad, 0, 0)
	call("userfaultfd", sysUserfaultfd, 0)
	call("perf_event_open", syscall.SYS_PERF_EVENT_OPEN, 0, 0, invalid, invalid, 0)
	call("open_by_handle_at", sysOpenByHandleAt, invalid, 0, 0)
	call("kexec_load", syscall.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	call("init_module", syscall.SYS_INIT_MODULE, 0, 0, empty)
	call("mount", syscall.SYS_MOUNT, empty, uintptr(unsafe.Pointer(&root[0])), empty, 0, 0)
	call("setns", sysSetns, invalid, 0)
	call("chroot", syscall.SYS_CHROOT, uintptr(unsafe.Pointer(&root[0])))
	// Several threads make this fail with EINVAL where it is allowed; clone below says the rest.
	call("unshare_newuser", syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER)
	readMemoryOf(1, found)
	call("ptrace_pid1", syscall.SYS_PTRACE, ptraceSeize, 1, 0, 0)
	if found["ptrace_pid1"] == "OK" {
		_, _, _ = syscall.Syscall6(syscall.SYS_PTRACE, ptraceDetach, 1, 0, 0, 0, 0)
	}
	for name, family := range map[string]int{"socket_vsock": afVSOCK, "socket_alg": afALG, "socket_packet": afPacket} {
		call(name, syscall.SYS_SOCKET, uintptr(family), kindOf(family), 0)
	}
	call("socket_raw", syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP)
	found["clone_newuser"] = cloneNewUser()
	return found
}

// readMemoryOf asks for one byte: for none, the kernel says yes before it looks at any right. Where the byte is
// does not matter: who may not read is told so before the address is looked at.
func readMemoryOf(pid int, found map[string]string) {
	var here byte
	local := syscall.Iovec{Base: &here, Len: 1}
	remote := syscall.Iovec{Base: &here, Len: 1}
	_, _, errno := syscall.Syscall6(sysProcessVMReadv, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote)), 1, 0)
	found["process_vm_readv_pid1"] = errnoName(errno)
}

var (
	root              = [2]byte{'/', 0}
	returnsDescriptor = map[string]bool{
		"io_uring_setup": true, "userfaultfd": true, "perf_event_open": true, "bpf": true, "open_by_handle_at": true,
		"socket_vsock": true, "socket_alg": true, "socket_packet": true, "socket_raw": true,
	}
)

func kindOf(family int) uintptr {
	switch family {
	case afALG:
		return syscall.SOCK_SEQPACKET
	case afPacket:
		return syscall.SOCK_RAW
	}
	return syscall.SOCK_STREAM
}

// cloneNewUser starts this program in a user namespace of its own, with an argument that ends it at once.
func cloneNewUser() string {
	path, err := os.Executable()
	if err != nil {
		return errnoName(syscall.ENOENT)
	}
	pid, err := syscall.ForkExec(path, []string{path, "--version"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER},
	})
	if err != nil {
		if errno, is := err.(syscall.Errno); is {
			return errnoName(errno)
		}
		return err.Error()
	}
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(pid, &status, 0, nil)
	return "OK"
}

func errnoName(errno syscall.Errno) string {
	if errno == 0 {
		return "OK"
	}
	if name, known := errnoNames[errno]; known {
		return name
	}
	return "E" + strconv.Itoa(int(errno))
}

var errnoNames = map[syscall.Errno]string{
	syscall.EPERM: "EPERM", syscall.ENOENT: "ENOENT", syscall.ESRCH: "ESRCH", syscall.EBADF: "EBADF",
	syscall.ENOMEM: "ENOMEM", syscall.EACCES: "EACCES", syscall.EFAULT: "EFAULT", syscall.EBUSY: "EBUSY",
	syscall.ENODEV: "ENODEV", syscall.EINVAL: "EINVAL", syscall.ENOSYS: "ENOSYS", syscall.ENOSPC: "ENOSPC",
	syscall.ENOKEY: "ENOKEY", syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EPROTONOSUPPORT: "EPROTONOSUPPORT",
	syscall.EOPNOTSUPP: "EOPNOTSUPP", syscall.EUSERS: "EUSERS", syscall.E2BIG: "E2BIG",
	syscall.ESOCKTNOSUPPORT: "ESOCKTNOSUPPORT",
}
