// Package archive packs and unpacks trees as tar.
//
// Its one rule: it walks by descriptors, one name at a time, and never through a symbolic link, so that
// neither an archive nor a process inside can lead it to another place than the one that was asked for.
package archive

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

const (
	oPath = 0x200000
	// oTree opens a directory itself.
	oTree = syscall.O_RDONLY | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
)

// ErrThroughLink says that a directory on the way is a symbolic link or not a directory.
var ErrThroughLink = errors.New("the way there leads through something that is not a directory")

// node is one entry of a directory, held by a descriptor.
type node struct {
	fd   int
	stat syscall.Stat_t
}

func (n *node) close() { syscall.Close(n.fd) }

func (n *node) kind() uint32 { return n.stat.Mode & syscall.S_IFMT }

// look opens an entry as itself, whatever it is.
func look(directory int, name string) (*node, error) {
	fd, err := syscall.Openat(directory, name, oPath|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n := &node{fd: fd}
	if err := syscall.Fstat(fd, &n.stat); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// open opens what look saw for reading, and nothing that has taken its place.
func (n *node) open(directory int, name string, flags int) (*os.File, error) {
	fd, err := syscall.Openat(directory, name, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var now syscall.Stat_t
	err = syscall.Fstat(fd, &now)
	if err == nil && (now.Ino != n.stat.Ino || now.Dev != n.stat.Dev) {
		err = errors.New("it was replaced while it was being read")
	}
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readlink gives the text of the link that look saw.
func (n *node) readlink() (string, error) {
	buffer := make([]byte, syscall.PathMax)
	empty := [1]byte{}
	size, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(n.fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0)
	if errno != 0 {
		return "", errno
	}
	return string(buffer[:size]), nil
}

// enter opens a directory below another.
func enter(directory int, name string) (int, error) {
	fd, err := syscall.Openat(directory, name, oTree, 0)
	if err == syscall.ENOTDIR || err == syscall.ELOOP {
		return -1, fmt.Errorf("%q: %w", name, ErrThroughLink)
	}
	return fd, err
}

func symlinkat(target string, directory int, name string) error {
	from, err := syscall.BytePtrFromString(target)
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(syscall.SYS_SYMLINKAT, uintptr(unsafe.Pointer(from)), uintptr(directory), uintptr(unsafe.Pointer(to)))
	return orNil(errno)
}

func linkat(fromDirectory int, from string, toDirectory int, to string) error {
	source, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	target, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_LINKAT, uintptr(fromDirectory), uintptr(unsafe.Pointer(source)),
		uintptr(toDirectory), uintptr(unsafe.Pointer(target)), 0, 0)
	return orNil(errno)
}

// setTime sets the time of last modification of an open file.
func setTime(fd int, at syscall.Timespec) error {
	const omit = 0x3ffffffe // UTIME_OMIT: leave the time of last access
	times := [2]syscall.Timespec{{Nsec: omit}, at}
	_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0)
	return orNil(errno)
}

func orNil(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
