package filesystem

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"unsafe"

	"alcove.dev/agent/internal/identity"
)

const (
	oPath           = 0x200000
	temporaryPrefix = ".alcove-"
)

// Writing is a file that is being replaced: nobody sees it until Commit.
//
// Where replacing would change what is not ours to change (the owner, a device), it is written in place.
type Writing struct {
	*os.File
	user      identity.User
	directory int // descriptor of the parent, so that no swapped directory can lead us elsewhere
	temporary string
	name      string
	path      string
}

// Create starts to write path for a user; the parents are made.
func (f *Files) Create(user identity.User, path string) (w *Writing, err error) {
	err = user.Act(func() error {
		w, err = create(user, path)
		return err
	})
	return w, err
}

func create(user identity.User, path string) (*Writing, error) {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	} else {
		if info.IsDir() {
			return nil, fmt.Errorf("write %s: %w", path, ErrIsDirectory)
		}
		if !replaceable(info, user) {
			return inPlace(user, path)
		}
		// Through a symbolic link the file that it names is replaced, not the link.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
		// A file that may not be written must not be replaced either.
		check, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		check.Close()
	}
	w, err := besides(user, path, info)
	if errors.Is(err, fs.ErrPermission) && info != nil {
		return inPlace(user, path)
	}
	return w, err
}

// replaceable says whether a new file in its place can have the same owner and group.
func replaceable(info fs.FileInfo, user identity.User) bool {
	system, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && system.Nlink == 1 && system.Uid == user.UID &&
		(system.Gid == user.GID || slices.Contains(user.Groups, system.Gid))
}

func inPlace(user identity.User, path string) (*Writing, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return &Writing{File: file, user: user, directory: -1, path: path, name: filepath.Base(path)}, nil
}

func besides(user identity.User, path string, old fs.FileInfo) (*Writing, error) {
	directory, err := syscall.Open(filepath.Dir(path), oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	temporary := temporaryPrefix + rand.Text()
	flags := syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	fd, err := syscall.Openat(directory, temporary, flags, 0o644)
	if err != nil {
		syscall.Close(directory)
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	w := &Writing{
		File: os.NewFile(uintptr(fd), path), user: user, directory: directory,
		temporary: temporary, name: filepath.Base(path), path: path,
	}
	if old != nil {
		err = w.takeAfter(old)
	}
	if err != nil {
		w.drop()
		return nil, err
	}
	return w, nil
}

// takeAfter gives the new file the mode and group of the old.
func (w *Writing) takeAfter(old fs.FileInfo) error {
	if system, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := w.Chown(-1, int(system.Gid)); err != nil {
			return err
		}
	}
	return w.Chmod(old.Mode())
}

// Path is where the content will be.
func (w *Writing) Path() string { return w.path }

// Commit makes the content visible under its name, with metadata if there is any.
func (w *Writing) Commit(metadata map[string]string) error {
	err := w.user.Act(func() error {
		if err := w.setMetadata(metadata); err != nil {
			return err
		}
		if w.directory < 0 {
			return nil
		}
		if err := syscall.Renameat(w.directory, w.temporary, w.directory, w.name); err != nil {
			return &fs.PathError{Op: "rename", Path: w.path, Err: err}
		}
		w.temporary = ""
		return nil
	})
	if err != nil {
		w.Abort()
		return err
	}
	if w.directory >= 0 {
		syscall.Close(w.directory)
	}
	return w.Close()
}

// Abort forgets what was written, where that is still possible.
func (w *Writing) Abort() {
	_ = w.user.Act(func() error {
		w.drop()
		return nil
	})
}

func (w *Writing) drop() {
	if w.directory >= 0 {
		if w.temporary != "" {
			_ = syscall.Unlinkat(w.directory, w.temporary)
		}
		syscall.Close(w.directory)
		w.directory = -1
	}
	w.Close()
}

func (w *Writing) setMetadata(metadata map[string]string) error {
	for key, value := range metadata {
		// By the descriptor: the name could lead elsewhere by now.
		err := fsetxattr(w.Fd(), metadataPrefix+key, value)
		if err == syscall.ENOTSUP {
			return fmt.Errorf("write %s: %w", w.path, ErrNoMetadata)
		}
		if err != nil {
			return &fs.PathError{Op: "set metadata of", Path: w.path, Err: err}
		}
	}
	return nil
}

func fsetxattr(fd uintptr, name, value string) error {
	key, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	data := unsafe.StringData(value)
	_, _, errno := syscall.Syscall6(syscall.SYS_FSETXATTR, fd, uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(data)), uintptr(len(value)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
