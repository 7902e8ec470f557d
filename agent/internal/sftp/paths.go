package sftp

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

const (
	// listedAtATime is how many names one READDIR gives.
	listedAtATime    = 100
	linkMax          = 4096
	renameNoReplace  = 1
	atCurrentUintptr = ^uintptr(99)
)

func (s *server) lstat(id uint32, f *fields) error { return s.look(id, f, syscall.Lstat) }

func (s *server) stat(id uint32, f *fields) error { return s.look(id, f, syscall.Stat) }

func (s *server) look(id uint32, f *fields, how func(string, *syscall.Stat_t) error) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	var info syscall.Stat_t
	if err := how(path, &info); err != nil {
		return err
	}
	s.attributes(id, &info)
	return nil
}

func (s *server) setstat(_ uint32, f *fields) error {
	path, attributes := f.text(), f.attributes()
	if f.err != nil {
		return f.err
	}
	return attributes.set(path, true)
}

func (s *server) opendir(id uint32, f *fields) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	if s.handles.full() {
		return errHandles
	}
	fd := -1
	err := again(func() (err error) {
		fd, err = syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	s.give(id, &handle{fd: fd, listing: os.NewFile(uintptr(fd), path), path: path})
	return nil
}

func (s *server) readdir(id uint32, f *fields) error {
	opened, err := s.opened(f, f.bytes())
	if err != nil {
		return err
	}
	if opened.listing == nil {
		return errHandle
	}
	// What vanished meanwhile is not told of; an answer has a name at least.
	for {
		names, err := opened.listing.Readdirnames(listedAtATime)
		if len(names) == 0 {
			if err == nil {
				err = io.EOF
			}
			return err
		}
		if s.list(id, opened.path, names) > 0 {
			return nil
		}
	}
}

// list answers with those of the names that are still there, and says how many they were.
func (s *server) list(id uint32, directory string, names []string) uint32 {
	before := len(s.answers)
	s.answer(typeName, id)
	at := len(s.answers)
	s.answers = appendNumber(s.answers, 0)
	count := uint32(0)
	for _, name := range names {
		var info syscall.Stat_t
		if syscall.Lstat(filepath.Join(directory, name), &info) != nil {
			continue
		}
		s.answers = appendText(s.answers, name)
		s.answers = appendText(s.answers, s.names.line(name, &info))
		s.answers = appendAttributes(s.answers, &info)
		count++
	}
	if count == 0 {
		s.answers = s.answers[:before]
		return 0
	}
	appendNumber(s.answers[:at], count)
	s.finish()
	return count
}

func (s *server) remove(_ uint32, f *fields) error { return one(f, syscall.Unlink) }

func (s *server) rmdir(_ uint32, f *fields) error { return one(f, syscall.Rmdir) }

func one(f *fields, act func(string) error) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	return act(path)
}

func two(f *fields, act func(from, to string) error) error {
	from, to := f.text(), f.text()
	if f.err != nil {
		return f.err
	}
	return act(from, to)
}

func (s *server) mkdir(_ uint32, f *fields) error {
	path, attributes := f.text(), f.attributes()
	if f.err != nil {
		return f.err
	}
	return syscall.Mkdir(path, attributes.mode(0o777))
}

func (s *server) rename(_ uint32, f *fields) error { return two(f, renameToNew) }

// renameToNew never replaces anything: that is what version 3 says of its RENAME.
func renameToNew(from, to string) error {
	err := renameat2(from, to, renameNoReplace)
	if err != syscall.ENOSYS && err != syscall.EINVAL {
		return err
	}
	// This file system cannot do it in one step.
	var info syscall.Stat_t
	if err := syscall.Lstat(to, &info); err == nil {
		return syscall.EEXIST
	} else if err != syscall.ENOENT {
		return err
	}
	return syscall.Rename(from, to)
}

func renameat2(from, to string, flags uintptr) error {
	source, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	target, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(sysRenameat2, atCurrentUintptr, uintptr(unsafe.Pointer(source)),
		atCurrentUintptr, uintptr(unsafe.Pointer(target)), flags, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (s *server) readlink(id uint32, f *fields) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	target := make([]byte, linkMax)
	n, err := syscall.Readlink(path, target)
	if err != nil {
		return err
	}
	s.path(id, string(target[:n]))
	return nil
}

// symlink takes its arguments in the order in which OpenSSH sends them, which is not the draft's.
func (s *server) symlink(_ uint32, f *fields) error {
	return two(f, func(target, link string) error { return syscall.Symlink(target, link) })
}

func (s *server) realpath(id uint32, f *fields) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	resolved, err := resolve(path)
	if err != nil {
		return err
	}
	s.path(id, resolved)
	return nil
}

// resolve makes a path absolute and free of links. Its last part need not be there.
func resolve(path string) (string, error) {
	if path == "" {
		path = "."
	}
	if len(path) > linkMax {
		return "", syscall.ENAMETOOLONG
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(absolute)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return resolved, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(absolute)), nil
}

// path answers with one name and nothing about it.
func (s *server) path(id uint32, path string) {
	s.answer(typeName, id)
	s.answers = appendNumber(s.answers, 1)
	s.answers = appendText(s.answers, path)
	s.answers = appendText(s.answers, path)
	s.answers = appendNumber(s.answers, 0)
	s.finish()
}
