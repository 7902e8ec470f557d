"""Which system calls a workspace may make: an allow-list of our own.

`seccomp.json`, which the runtime is given, is this module's output (`python -m
alcove.host.seccomp`); a test keeps the two equal. One rule: a call is here because ordinary
programs (compilers, package managers, databases, browsers' build tools) need it, and each group
says what is left out of it and why.
"""

import json
import platform
import sys
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("seccomp.json")

_EPERM: Final = 1
_ENOSYS: Final = 38
_EPROTONOSUPPORT: Final = 93
_EAFNOSUPPORT: Final = 97

# Files. Left out: open_by_handle_at (walks around the root), name_to_handle_at, quotactl, mknod of
# devices is up to capabilities, fanotify_* (sees other mounts), lookup_dcookie, nfsservctl.
FILES: Final = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 eventfd eventfd2
faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr listxattrat llistxattr
lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2
pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv removexattr removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat
splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink
unlinkat utime utimensat utimes vmsplice write writev cachestat
"""

# Memory. Left out: userfaultfd (stretches kernel races), process_madvise, migrate_pages and
# move_pages (other processes' memory), memfd_secret is off by default in kernels.
MEMORY: Final = """
brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect
mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
get_mempolicy set_mempolicy mbind
"""

# Processes. Left out: unshare, setns, pidfd_getfd, kcmp, acct, personality (but for the values
# below), process_vm_writev; clone and clone3 are below.
PROCESSES: Final = """
alarm arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area
getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresuid getrlimit getrusage getsid gettid getuid kill pause pidfd_open
pidfd_send_signal prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace
restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list
set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack tgkill time times tkill
uname vfork wait4 waitid waitpid getcpu ioprio_get ioprio_set landlock_create_ruleset
landlock_add_rule landlock_restrict_self seccomp
"""

# Waiting, time, and talking to each other. Left out: clock_settime, adjtimex and settimeofday
# (the host's clock), io_uring_* (a second system call table that this filter does not see),
# add_key, keyctl and request_key (keyrings are not in namespaces), bpf, perf_event_open.
TIME_AND_IPC: Final = """
clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait
epoll_pwait2 epoll_wait futex futex_requeue futex_wait futex_waitv futex_wake gettimeofday
io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd nanosleep poll ppoll pselect6
select semctl semget semop semtimedop shmat shmctl shmdt shmget signalfd signalfd4 sysinfo
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime
"""

# Sockets; socket and socketpair themselves are below.
SOCKETS: Final = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg
sendmmsg sendmsg sendto setsockopt shutdown
"""

# For root inside (`contained`): what package managers need. chroot only works with a capability.
ROOT: Final = "chroot sethostname"

_CLONE_NEW: Final = 0x7E020000
"""All CLONE_NEW* flags that clone knows: mount, cgroup, uts, ipc, user, pid, net."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_OTHER_FAMILIES: Final = (*range(3, 10), *range(11, 16))
"""Between those allowed; above them a comparison does. AF_PACKET, AF_ALG, AF_VSOCK are there."""
_NETLINK_ROUTE: Final = 0
_PERSONALITIES: Final = (0x0, 0x0008, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""Linux, its 32-bit and 2.6 names, no address randomisation (debuggers), and "which is it?"."""


def profile(*, machine: str) -> dict[str, Any]:
    """The OCI runtime specification's `linux.seccomp`. What is not allowed gets EPERM; the
    native architecture is the only one, so that neither `int 0x80` nor x32 gets around it."""
    names = sorted(
        name
        for group in (FILES, MEMORY, PROCESSES, TIME_AND_IPC, SOCKETS, ROOT)
        for name in group.split()
    )
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": [{"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]],
        "syscalls": [
            _allow(names),
            _allow(["clone"], (0, _CLONE_NEW, "SCMP_CMP_MASKED_EQ", 0)),
            # Its flags are behind a pointer, which a filter cannot follow; ENOSYS makes every
            # C library fall back to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            # The same for io_uring, whose users ask first whether it is there.
            {
                "names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": _ENOSYS,
            },
            *(_allow(["personality"], (0, value, "SCMP_CMP_EQ", 0)) for value in _PERSONALITIES),
            *(
                _allow([call], (0, family, "SCMP_CMP_EQ", 0))
                for family in (_AF_UNIX, _AF_INET, _AF_INET6)
                for call in ("socket", "socketpair")
            ),
            _allow(
                ["socket"],
                (0, _AF_NETLINK, "SCMP_CMP_EQ", 0),
                (2, _NETLINK_ROUTE, "SCMP_CMP_EQ", 0),
            ),
            # What a kernel without the protocol would say. sudo and PAM, which ask for the audit
            # protocol, take that for an answer, and EPERM for a failure.
            _refuse(
                _EPROTONOSUPPORT,
                (0, _AF_NETLINK, "SCMP_CMP_EQ", 0),
                (2, _NETLINK_ROUTE, "SCMP_CMP_NE", 0),
            ),
            *(_refuse(_EAFNOSUPPORT, (0, f, "SCMP_CMP_EQ", 0)) for f in _OTHER_FAMILIES),
            _refuse(_EAFNOSUPPORT, (0, _AF_NETLINK, "SCMP_CMP_GT", 0)),
        ],
    }


def load() -> dict[str, Any]:
    """The profile as shipped, for this machine."""
    return {
        **json.loads(FILE.read_text()),
        "architectures": profile(machine=platform.machine())["architectures"],
    }


def _allow(names: list[str], *conditions: tuple[int, int, str, int]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if conditions:
        rule["args"] = [
            {"index": index, "value": value, "valueTwo": two, "op": op}
            for index, value, op, two in conditions
        ]
    return rule


def _refuse(errno: int, *conditions: tuple[int, int, str, int]) -> dict[str, Any]:
    """`socket` with an error that tells more than EPERM."""
    return {**_allow(["socket"], *conditions), "action": "SCMP_ACT_ERRNO", "errnoRet": errno}


def text() -> str:
    return json.dumps(profile(machine="x86_64"), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
