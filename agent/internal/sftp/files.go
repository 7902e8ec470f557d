package sftp

import (
	"io"
	"slices"
	"syscall"
)

// How a file is to be opened.
const (
	openRead     = 1
	openWrite    = 2
	openAppend   = 4
	openCreate   = 8
	openTruncate = 16
	openExclude  = 32
)

// operations answer, or give the status to answer with. One that answers nothing and has no error is OK.
var operations map[byte]func(s *server, id uint32, f *fields) error

func init() {
	operations = map[byte]func(s *server, id uint32, f *fields) error{
		typeOpen: (*server).open, typeClose: (*server).close, typeRead: (*server).read, typeWrite: (*server).write,
		typeLstat: (*server).lstat, typeFstat: (*server).fstat, typeSetstat: (*server).setstat,
		typeFsetstat: (*server).fsetstat, typeOpendir: (*server).opendir, typeReaddir: (*server).readdir,
		typeRemove: (*server).remove, typeMkdir: (*server).mkdir, typeRmdir: (*server).rmdir,
		typeRealpath: (*server).realpath, typeStat: (*server).stat, typeRename: (*server).rename,
		typeReadlink: (*server).readlink, typeSymlink: (*server).symlink, typeExtended: (*server).extended,
	}
}

func (s *server) open(id uint32, f *fields) error {
	path, asked, attributes := f.text(), f.number(), f.attributes()
	if f.err != nil {
		return f.err
	}
	if s.handles.full() {
		return errHandles
	}
	// A pipe that nobody writes to must not hold up everything else.
	flags := syscall.O_CLOEXEC | syscall.O_NONBLOCK | syscall.O_NOCTTY
	switch asked & (openRead | openWrite) {
	case openRead | openWrite:
		flags |= syscall.O_RDWR
	case openWrite:
		flags |= syscall.O_WRONLY
	default:
		flags |= syscall.O_RDONLY
	}
	for _, each := range []struct{ asked, flag int }{
		{openAppend, syscall.O_APPEND}, {openCreate, syscall.O_CREAT},
		{openTruncate, syscall.O_TRUNC}, {openExclude, syscall.O_EXCL},
	} {
		if asked&uint32(each.asked) != 0 {
			flags |= each.flag
		}
	}
	fd := -1
	err := again(func() (err error) {
		fd, err = syscall.Open(path, flags, attributes.mode(0o666))
		return err
	})
	if err != nil {
		return err
	}
	s.give(id, &handle{fd: fd, path: path})
	return nil
}

// give answers with a new handle.
func (s *server) give(id uint32, opened *handle) {
	s.answer(typeHandle, id)
	s.answers = appendNumber(s.answers, 4)
	s.answers = appendNumber(s.answers, s.handles.add(opened))
	s.finish()
}

// opened is what a request names by its handle, once all of the request was read.
func (s *server) opened(f *fields, name []byte) (*handle, error) {
	if f.err != nil {
		return nil, f.err
	}
	return s.handles.get(name)
}

// file is opened for what must be no directory's listing.
func (s *server) file(f *fields, name []byte) (*handle, error) {
	if f.err != nil {
		return nil, f.err
	}
	return s.handles.file(name)
}

func (s *server) close(_ uint32, f *fields) error {
	name := f.bytes()
	if f.err != nil {
		return f.err
	}
	return s.handles.close(name)
}

func (s *server) read(id uint32, f *fields) error {
	name, offset, length := f.bytes(), f.long(), f.number()
	opened, err := s.file(f, name)
	if err != nil {
		return err
	}
	if offset > 1<<63-1 {
		return syscall.EINVAL
	}
	if length == 0 {
		s.answer(typeData, id)
		s.answers = appendNumber(s.answers, 0)
		s.finish()
		return nil
	}
	wanted := int(min(length, dataMax))
	s.answer(typeData, id)
	at := len(s.answers) + 4
	s.answers = slices.Grow(s.answers, 4+wanted)
	n, err := readAt(opened.fd, s.answers[at:at+wanted], int64(offset))
	if n == 0 {
		if err == nil {
			err = io.EOF
		}
		return err
	}
	s.answers = appendNumber(s.answers, uint32(n))
	s.answers = s.answers[:at+n]
	s.finish()
	return nil
}

// readAt reads once; what has no offsets (a pipe, a terminal) is read from where it is.
func readAt(fd int, into []byte, offset int64) (n int, err error) {
	err = again(func() (err error) {
		n, err = syscall.Pread(fd, into, offset)
		if err == syscall.ESPIPE {
			n, err = syscall.Read(fd, into)
		}
		return err
	})
	return max(n, 0), err
}

func (s *server) write(_ uint32, f *fields) error {
	name, offset, data := f.bytes(), f.long(), f.bytes()
	opened, err := s.file(f, name)
	if err != nil {
		return err
	}
	if offset > 1<<63-1 {
		return syscall.EINVAL
	}
	return writeAt(opened.fd, data, int64(offset))
}

func writeAt(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := syscall.Pwrite(fd, data, offset)
		if err == syscall.ESPIPE {
			n, err = syscall.Write(fd, data)
		}
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

func (s *server) fstat(id uint32, f *fields) error {
	opened, err := s.opened(f, f.bytes())
	if err != nil {
		return err
	}
	var info syscall.Stat_t
	if err := syscall.Fstat(opened.fd, &info); err != nil {
		return err
	}
	s.attributes(id, &info)
	return nil
}

func (s *server) fsetstat(_ uint32, f *fields) error {
	name, attributes := f.bytes(), f.attributes()
	opened, err := s.opened(f, name)
	if err != nil {
		return err
	}
	return attributes.setOpen(opened.fd)
}

func (s *server) attributes(id uint32, info *syscall.Stat_t) {
	s.answer(typeAttrs, id)
	s.answers = appendAttributes(s.answers, info)
	s.finish()
}
