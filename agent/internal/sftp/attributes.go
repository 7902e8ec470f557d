package sftp

import (
	"syscall"
	"time"
	"unsafe"
)

// Which attributes are there.
const (
	hasSize        = 1
	hasOwner       = 2
	hasPermissions = 4
	hasTimes       = 8
	hasExtended    = 1 << 31
)

// permissionBits are those of a mode that a client may set.
const permissionBits = 0o7777

const (
	atSymlinkNofollow = 0x100
	atCurrent         = -100
)

// attributes of a file, as a client gives them.
type attributes struct {
	flags              uint32
	size               uint64
	uid, gid           uint32
	permissions        uint32
	accessed, modified uint32
}

func (f *fields) attributes() attributes {
	a := attributes{flags: f.number()}
	if a.flags&hasSize != 0 {
		a.size = f.long()
	}
	if a.flags&hasOwner != 0 {
		a.uid, a.gid = f.number(), f.number()
	}
	if a.flags&hasPermissions != 0 {
		a.permissions = f.number()
	}
	if a.flags&hasTimes != 0 {
		a.accessed, a.modified = f.number(), f.number()
	}
	if a.flags&hasExtended != 0 {
		for range f.number() {
			f.bytes()
			f.bytes()
			if f.err != nil {
				break
			}
		}
	}
	return a
}

// mode is what a new file or directory is made with; the umask applies.
func (a *attributes) mode(otherwise uint32) uint32 {
	if a.flags&hasPermissions != 0 {
		return a.permissions & permissionBits
	}
	return otherwise
}

func appendAttributes(b []byte, info *syscall.Stat_t) []byte {
	b = appendNumber(b, hasSize|hasOwner|hasPermissions|hasTimes)
	b = appendLong(b, uint64(info.Size))
	b = appendNumber(b, info.Uid)
	b = appendNumber(b, info.Gid)
	b = appendNumber(b, info.Mode)
	b = appendNumber(b, seconds(info.Atim))
	return appendNumber(b, seconds(info.Mtim))
}

// seconds holds a time within what the protocol can say: 1970 to 2106.
func seconds(at syscall.Timespec) uint32 {
	whole := int64(at.Sec)
	return uint32(min(max(whole, 0), 1<<32-1))
}

// set changes the file at path, or the link itself. All is tried; the first error is given.
func (a *attributes) set(path string, follow bool) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if a.flags&hasSize != 0 {
		if a.size > 1<<63-1 || !follow {
			note(syscall.EINVAL)
		} else {
			note(again(func() error { return syscall.Truncate(path, int64(a.size)) }))
		}
	}
	if a.flags&hasPermissions != 0 {
		note(setMode(path, a.permissions&permissionBits, follow))
	}
	if a.flags&hasTimes != 0 {
		flags := 0
		if !follow {
			flags = atSymlinkNofollow
		}
		note(a.setTimes(atCurrent, path, flags))
	}
	if a.flags&hasOwner != 0 {
		change := syscall.Lchown
		if follow {
			change = syscall.Chown
		}
		note(change(path, int(int32(a.uid)), int(int32(a.gid))))
	}
	return first
}

// setMode of a link itself is not something Linux has.
func setMode(path string, mode uint32, follow bool) error {
	if !follow {
		var info syscall.Stat_t
		if err := syscall.Lstat(path, &info); err != nil {
			return err
		}
		if info.Mode&syscall.S_IFMT == syscall.S_IFLNK {
			return syscall.EOPNOTSUPP
		}
	}
	return syscall.Chmod(path, mode)
}

// setOpen changes an open file.
func (a *attributes) setOpen(fd int) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if a.flags&hasSize != 0 {
		if a.size > 1<<63-1 {
			note(syscall.EINVAL)
		} else {
			note(again(func() error { return syscall.Ftruncate(fd, int64(a.size)) }))
		}
	}
	if a.flags&hasPermissions != 0 {
		note(syscall.Fchmod(fd, a.permissions&permissionBits))
	}
	if a.flags&hasTimes != 0 {
		note(a.setTimes(fd, "", 0))
	}
	if a.flags&hasOwner != 0 {
		note(syscall.Fchown(fd, int(int32(a.uid)), int(int32(a.gid))))
	}
	return first
}

// setTimes of a path, or of the open file itself where path is empty.
func (a *attributes) setTimes(fd int, path string, flags int) error {
	times := [2]syscall.Timespec{
		syscall.NsecToTimespec(int64(a.accessed) * int64(time.Second)),
		syscall.NsecToTimespec(int64(a.modified) * int64(time.Second)),
	}
	var name *byte
	if path != "" {
		var err error
		if name, err = syscall.BytePtrFromString(path); err != nil {
			return err
		}
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&times[0])), uintptr(flags), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// again repeats what a signal interrupted.
func again(work func() error) error {
	for {
		if err := work(); err != syscall.EINTR {
			return err
		}
	}
}
