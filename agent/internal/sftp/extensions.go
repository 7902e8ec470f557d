package sftp

import (
	"io"
	"strings"
	"syscall"
)

const copyPiece = 1 << 20

type extension struct {
	name, version string
	answer        func(s *server, id uint32, f *fields) error
}

// announced are the extensions, in the order in which clients are told of them.
var announced = []extension{
	{"posix-rename@openssh.com", "1", func(_ *server, _ uint32, f *fields) error { return two(f, syscall.Rename) }},
	{"statvfs@openssh.com", "2", (*server).statvfs},
	{"fstatvfs@openssh.com", "2", (*server).fstatvfs},
	{"hardlink@openssh.com", "1", func(_ *server, _ uint32, f *fields) error { return two(f, syscall.Link) }},
	{"fsync@openssh.com", "1", (*server).fsync},
	{"lsetstat@openssh.com", "1", (*server).lsetstat},
	{"limits@openssh.com", "1", (*server).limits},
	{"expand-path@openssh.com", "1", (*server).expandPath},
	{"copy-data", "1", (*server).copyData},
	{"home-directory", "1", (*server).homeDirectory},
	{"users-groups-by-id@openssh.com", "1", (*server).usersAndGroups},
}

func (s *server) extended(id uint32, f *fields) error {
	name := f.text()
	if f.err != nil {
		return f.err
	}
	for _, each := range announced {
		if each.name == name {
			return each.answer(s, id, f)
		}
	}
	return errUnsupported
}

func (s *server) statvfs(id uint32, f *fields) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	var info syscall.Statfs_t
	if err := again(func() error { return syscall.Statfs(path, &info) }); err != nil {
		return err
	}
	s.space(id, &info)
	return nil
}

func (s *server) fstatvfs(id uint32, f *fields) error {
	opened, err := s.opened(f, f.bytes())
	if err != nil {
		return err
	}
	var info syscall.Statfs_t
	if err := again(func() error { return syscall.Fstatfs(opened.fd, &info) }); err != nil {
		return err
	}
	s.space(id, &info)
	return nil
}

func (s *server) space(id uint32, info *syscall.Statfs_t) {
	const readOnly, noSetUser = 1, 2 // the same here and in the protocol
	fragment := uint64(info.Frsize)
	if fragment == 0 {
		fragment = uint64(info.Bsize)
	}
	s.answer(typeExtendedReply, id)
	for _, value := range []uint64{
		uint64(info.Bsize), fragment, info.Blocks, info.Bfree, info.Bavail, info.Files, info.Ffree, info.Ffree,
		uint64(uint32(info.Fsid.X__val[0])) | uint64(uint32(info.Fsid.X__val[1]))<<32,
		uint64(info.Flags) & (readOnly | noSetUser), uint64(info.Namelen),
	} {
		s.answers = appendLong(s.answers, value)
	}
	s.finish()
}

func (s *server) fsync(_ uint32, f *fields) error {
	opened, err := s.file(f, f.bytes())
	if err != nil {
		return err
	}
	return again(func() error { return syscall.Fsync(opened.fd) })
}

func (s *server) lsetstat(_ uint32, f *fields) error {
	path, attributes := f.text(), f.attributes()
	if f.err != nil {
		return f.err
	}
	return attributes.set(path, false)
}

func (s *server) limits(id uint32, _ *fields) error {
	s.answer(typeExtendedReply, id)
	for _, value := range []uint64{packetMax, dataMax, dataMax, handlesMax} {
		s.answers = appendLong(s.answers, value)
	}
	s.finish()
	return nil
}

func (s *server) expandPath(id uint32, f *fields) error {
	path := f.text()
	if f.err != nil {
		return f.err
	}
	if strings.HasPrefix(path, "~") {
		name, rest, _ := strings.Cut(path[1:], "/")
		home, err := s.homeOf(name)
		if err != nil {
			return err
		}
		path = home + "/" + rest
	}
	resolved, err := resolve(path)
	if err != nil {
		return err
	}
	s.path(id, resolved)
	return nil
}

func (s *server) homeDirectory(id uint32, f *fields) error {
	name := f.text()
	if f.err != nil {
		return f.err
	}
	home, err := s.homeOf(name)
	if err != nil {
		return err
	}
	s.path(id, home)
	return nil
}

// homeOf is that of a user; "" is who this process runs as.
func (s *server) homeOf(name string) (string, error) {
	if name == "" {
		return s.home, nil
	}
	found, err := database.Lookup(name)
	if err != nil {
		return "", syscall.ENOENT
	}
	return found.Home, nil
}

func (s *server) usersAndGroups(id uint32, f *fields) error {
	users, groups := &fields{rest: f.bytes()}, &fields{rest: f.bytes()}
	if f.err != nil {
		return f.err
	}
	var userNames, groupNames []byte
	for len(users.rest) >= 4 {
		number := users.number()
		name, _ := s.names.of(number, 0)
		userNames = appendText(userNames, known(name, number))
	}
	for len(groups.rest) >= 4 {
		number := groups.number()
		_, name := s.names.of(0, number)
		groupNames = appendText(groupNames, known(name, number))
	}
	if len(userNames)+len(groupNames) > dataMax {
		return syscall.EINVAL
	}
	s.answer(typeExtendedReply, id)
	s.answers = appendText(s.answers, string(userNames))
	s.answers = appendText(s.answers, string(groupNames))
	s.finish()
	return nil
}

// copyData copies within the workspace: nothing of it goes over the network.
func (s *server) copyData(_ uint32, f *fields) error {
	source, from, length, target, to := f.bytes(), f.long(), f.long(), f.bytes(), f.long()
	if f.err != nil {
		return f.err
	}
	reading, err := s.handles.file(source)
	if err != nil {
		return err
	}
	writing, err := s.handles.file(target)
	if err != nil {
		return err
	}
	if from > 1<<63-1 || to > 1<<63-1 {
		return syscall.EINVAL
	}
	if err := copies(reading.fd, writing.fd); err != nil {
		return err
	}
	untilEnd := length == 0
	buffer := make([]byte, copyPiece)
	for untilEnd || length > 0 {
		piece := buffer
		if !untilEnd {
			piece = buffer[:min(length, copyPiece)]
		}
		n, err := readAt(reading.fd, piece, int64(from))
		if err != nil || n == 0 {
			if err == nil && !untilEnd {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := writeAt(writing.fd, piece[:n], int64(to)); err != nil {
			return err
		}
		from, to, length = from+uint64(n), to+uint64(n), length-uint64(n)
	}
	return nil
}

// copies says whether a copy between the two has an end: what is no regular file may have none, and a file
// that is copied behind its own end neither.
func copies(from, to int) error {
	var source, target syscall.Stat_t
	if err := syscall.Fstat(from, &source); err != nil {
		return err
	}
	if err := syscall.Fstat(to, &target); err != nil {
		return err
	}
	same := source.Dev == target.Dev && source.Ino == target.Ino
	if same || source.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.EINVAL
	}
	return nil
}
