package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"alcove.dev/agent/internal/identity"
)

// EntriesMax bounds one listing; a larger one must be asked for in parts.
const EntriesMax = 50_000

// depthMax bounds how deep one listing goes.
const depthMax = 64

// What a caller can act on.
var (
	ErrTooManyEntries = fmt.Errorf("more than %d entries: list a subdirectory or a smaller depth", EntriesMax)
	ErrNotDirectory   = errors.New("not a directory")
	ErrIsDirectory    = errors.New("is a directory")
	ErrNotRegular     = errors.New("not a regular file")
)

// Files does file operations for the users of a workspace.
type Files struct{ Users *identity.Directory }

// Stat describes one entry; a symbolic link is described as such.
func (f *Files) Stat(user identity.User, path string) (entry Entry, err error) {
	err = user.Act(func() error {
		entry, err = describe(path, newNames(f.Users))
		return err
	})
	return entry, err
}

// List describes what is below a directory, down to depth, in the order of the names.
func (f *Files) List(user identity.User, path string, depth int) (entries []Entry, err error) {
	if depth <= 0 {
		depth = 1
	}
	err = user.Act(func() error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("list %s: %w", path, ErrNotDirectory)
		}
		names := newNames(f.Users)
		entries, err = listInto(nil, path, min(depth, depthMax), names)
		return err
	})
	return entries, err
}

// listInto does not follow links below the directory that was asked for.
func listInto(entries []Entry, path string, depth int, names *names) ([]Entry, error) {
	children, err := os.ReadDir(path)
	if err != nil {
		return entries, err
	}
	for _, child := range children {
		if len(entries) >= EntriesMax {
			return entries, fmt.Errorf("list %s: %w", path, ErrTooManyEntries)
		}
		full := filepath.Join(path, child.Name())
		entry, err := describe(full, names)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away meanwhile
		}
		if err != nil {
			return entries, err
		}
		entries = append(entries, entry)
		if !child.IsDir() || depth == 1 {
			continue
		}
		entries, err = listInto(entries, full, depth-1, names)
		// What the user may not read, or what went away, has no entries.
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			return entries, err
		}
	}
	return entries, nil
}

// MakeDir makes a directory and its parents. One that exists is fs.ErrExist.
func (f *Files) MakeDir(user identity.User, path string) (entry Entry, err error) {
	err = user.Act(func() error {
		if info, err := os.Stat(path); err == nil {
			if !info.IsDir() {
				return fmt.Errorf("make directory %s: a file is there: %w", path, ErrNotDirectory)
			}
			return fmt.Errorf("make directory %s: %w", path, fs.ErrExist)
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		entry, err = describe(path, newNames(f.Users))
		return err
	})
	return entry, err
}

// Move renames; the parents of the destination are made.
func (f *Files) Move(user identity.User, source, destination string) (entry Entry, err error) {
	err = user.Act(func() error {
		if _, err := os.Lstat(source); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(destination), 0o755); err != nil {
			return err
		}
		if err := os.Rename(source, destination); err != nil {
			return err
		}
		entry, err = describe(destination, newNames(f.Users))
		return err
	})
	return entry, err
}

// Remove removes an entry and everything below it. What is not there is removed already.
func (f *Files) Remove(user identity.User, path string) error {
	if path == "/" {
		return fmt.Errorf("remove /: %w", fs.ErrPermission)
	}
	return user.Act(func() error { return os.RemoveAll(path) })
}

// Open opens a regular file for reading.
func (f *Files) Open(user identity.User, path string) (file *os.File, info fs.FileInfo, err error) {
	err = user.Act(func() error {
		// Not blocking, or a named pipe without a writer would hold the thread for ever.
		file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
		if err != nil {
			return err
		}
		if info, err = file.Stat(); err == nil {
			switch {
			case info.IsDir():
				err = fmt.Errorf("read %s: %w", path, ErrIsDirectory)
			case !info.Mode().IsRegular():
				err = fmt.Errorf("read %s: %w", path, ErrNotRegular)
			}
		}
		if err != nil {
			file.Close()
			file = nil
		}
		return err
	})
	return file, info, err
}
