package process

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"alcove.dev/agent/internal/identity"
)

// lookPath finds a command in path as the user would. It must be called with the user's rights.
func lookPath(command, path, cwd string, user identity.User) (string, error) {
	if command == "" {
		return "", &StartError{Code: 127, Err: fmt.Errorf("no command was given: %w", syscall.ENOENT)}
	}
	if strings.Contains(command, "/") {
		if !filepath.IsAbs(command) {
			command = filepath.Join(cwd, command)
		}
		if err := executable(command, user); err != nil {
			return "", startError(command, err)
		}
		return command, nil
	}
	var refused error
	for directory := range strings.SplitSeq(path, ":") {
		candidate := filepath.Join(directory, command)
		if !filepath.IsAbs(candidate) {
			candidate = filepath.Join(cwd, candidate)
		}
		switch err := executable(candidate, user); err {
		case nil:
			return candidate, nil
		case syscall.EACCES:
			refused = err
		}
	}
	if refused != nil {
		return "", startError(command, refused)
	}
	return "", &StartError{Code: 127, Err: fmt.Errorf("%q was not found in PATH: %w", command, syscall.ENOENT)}
}

func startError(command string, err error) error {
	code := 126
	if err == syscall.ENOENT || err == syscall.ENOTDIR {
		code = 127
	}
	return &StartError{Code: code, Err: fmt.Errorf("start %q: %w", command, err)}
}

// executable only chooses between candidates; the kernel decides when the file is executed.
func executable(path string, user identity.User) error {
	var info syscall.Stat_t
	if err := syscall.Stat(path, &info); err != nil {
		return err
	}
	if info.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return syscall.EACCES
	}
	allowed := info.Mode & 1
	switch {
	case user.UID == 0:
		allowed = info.Mode & 0o111
	case info.Uid == user.UID:
		allowed = info.Mode & 0o100
	case info.Gid == user.GID || slices.Contains(user.Groups, info.Gid):
		allowed = info.Mode & 0o010
	}
	if allowed == 0 {
		return syscall.EACCES
	}
	return nil
}
