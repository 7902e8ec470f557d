package identity

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"alcove.dev/agent/internal/threads"
)

// Act runs work on a thread whose file system rights are the user's, and returns its error.
//
// setfsuid(2), or what stands for it, makes the kernel check every path as that user and takes the file capabilities out of the
// thread's effective set, so that no race over symbolic links can give more than the user has. Work must
// not start goroutines that open files: the rights belong to the thread.
func (u User) Act(work func() error) error {
	threads.Enter()
	defer threads.Leave()
	return u.act(work)
}

// ActLong is Act for work that waits for a client in between; few of them may be under way.
func (u User) ActLong(work func() error) error {
	threads.EnterLong()
	defer threads.LeaveLong()
	return u.act(work)
}

func (u User) act(work func() error) error {
	if os.Getuid() != 0 {
		if uint32(os.Getuid()) != u.UID {
			return fmt.Errorf("act as %q: the agent is not root: %w", u.Name, syscall.EPERM)
		}
		return work()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := assume(u); err != nil {
			// Never unlocked: the thread ends with this goroutine, whatever state it is in.
			result <- fmt.Errorf("act as %q: %w", u.Name, err)
			return
		}
		defer func() {
			if restore() == nil {
				runtime.UnlockOSThread()
			}
		}()
		result <- survive(work)
	}()
	return <-result
}

// survive makes a panic an error: on a goroutine of its own it would end PID 1, and the workspace with it.
func survive(work func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("this is a bug in the agent: %v", reason)
		}
	}()
	return work()
}

func assume(u User) error {
	if err := setThreadGroups(u.Groups); err != nil && GroupsAllowed() {
		return fmt.Errorf("setgroups: %w", err)
	}
	return setFileIDs(u.UID, u.GID)
}

func restore() error {
	if err := setFileIDs(0, 0); err != nil {
		return err
	}
	return setThreadGroups(nil)
}

// setFileIDs changes whom this thread's paths are checked as. gVisor has no setfsuid: there the effective ids
// are changed, which the file system's follow, and the real and saved ones stay root's for the way back.
func setFileIDs(uid, gid uint32) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0); errno == syscall.ENOSYS {
		return setEffectiveIDs(uid, gid)
	}
	// The old value is returned even when nothing was changed, so ask again to be sure.
	setfsid(syscall.SYS_SETFSGID, gid)
	if setfsid(syscall.SYS_SETFSGID, gid) != gid || setfsid(syscall.SYS_SETFSUID, uid) != uid {
		return fmt.Errorf("setfsuid: %w", syscall.EPERM)
	}
	return nil
}

func setEffectiveIDs(uid, gid uint32) error {
	const keep = ^uintptr(0)
	// The group while the user is root, on the way there and on the way back.
	steps := []struct{ call, id uintptr }{{syscall.SYS_SETRESGID, uintptr(gid)}, {syscall.SYS_SETRESUID, uintptr(uid)}}
	if uid == 0 {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, step := range steps {
		if _, _, errno := syscall.RawSyscall(step.call, keep, step.id, keep); errno != 0 {
			return fmt.Errorf("change the effective ids: %w", errno)
		}
	}
	return nil
}

func setfsid(call uintptr, id uint32) uint32 {
	previous, _, _ := syscall.RawSyscall(call, uintptr(id), 0, 0)
	return uint32(previous)
}

// setThreadGroups changes this thread alone; syscall.Setgroups would change all of them.
func setThreadGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
	if errno != 0 && GroupsAllowed() {
		return errno
	}
	return nil
}

// GroupsAllowed says whether this user namespace lets anybody change supplementary groups. It is settled before
// a first process is in it, so one look is enough.
var GroupsAllowed = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(text)) != "deny"
})

// Credential is what a child process is started with.
func (u User) Credential() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups, NoSetGroups: !GroupsAllowed()}
}
