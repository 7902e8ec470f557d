// Package fault gives every error that the agent can meet the code that its client sees.
//
// Its one rule: whose fault it was is decided here, once, from what the error is, never from its text.
package fault

import (
	"errors"
	"io/fs"
	"syscall"

	"alcove.dev/agent/internal/connect"
	"alcove.dev/agent/internal/filesystem"
	"alcove.dev/agent/internal/identity"
	"alcove.dev/agent/internal/process"
	"alcove.dev/agent/internal/reaper"
)

var codes = []struct {
	err  error
	code connect.Code
}{
	{identity.ErrUnknownUser, connect.Unauthenticated},
	{identity.ErrRootRefused, connect.PermissionDenied},
	{process.ErrCwd, connect.InvalidArgument},
	{process.ErrTooMany, connect.ResourceExhausted},
	{process.ErrTagTaken, connect.AlreadyExists},
	{process.ErrNotFound, connect.NotFound},
	{process.ErrStalled, connect.ResourceExhausted},
	{process.ErrNoPTY, connect.FailedPrecondition},
	{process.ErrNoStdin, connect.FailedPrecondition},
	{reaper.ErrGone, connect.NotFound},
	{filesystem.ErrTooManyEntries, connect.ResourceExhausted},
	{filesystem.ErrTooManyWatchers, connect.ResourceExhausted},
	{filesystem.ErrTooManyDirectories, connect.ResourceExhausted},
	{filesystem.ErrNotDirectory, connect.InvalidArgument},
	{filesystem.ErrIsDirectory, connect.InvalidArgument},
	{filesystem.ErrNotRegular, connect.InvalidArgument},
	{filesystem.ErrNetworkMount, connect.InvalidArgument},
	{filesystem.ErrNoMetadata, connect.Unimplemented},
	{syscall.ENOSPC, connect.ResourceExhausted},
	{syscall.EDQUOT, connect.ResourceExhausted},
	{syscall.EMFILE, connect.ResourceExhausted},
	{syscall.ENOTDIR, connect.InvalidArgument},
	{syscall.EISDIR, connect.InvalidArgument},
	{syscall.ENOTEMPTY, connect.FailedPrecondition},
	{syscall.EBUSY, connect.FailedPrecondition},
	{syscall.EXDEV, connect.FailedPrecondition},
	{syscall.ENAMETOOLONG, connect.InvalidArgument},
	{syscall.EINVAL, connect.InvalidArgument},
	{syscall.ELOOP, connect.InvalidArgument},
	{syscall.EROFS, connect.PermissionDenied},
	{syscall.EPIPE, connect.FailedPrecondition},
	{fs.ErrPermission, connect.PermissionDenied},
	{fs.ErrNotExist, connect.NotFound},
	{fs.ErrExist, connect.AlreadyExists},
	{fs.ErrClosed, connect.FailedPrecondition},
}

// Of gives err its code.
func Of(err error) *connect.Error {
	var known *connect.Error
	if errors.As(err, &known) {
		return known
	}
	for _, entry := range codes {
		if errors.Is(err, entry.err) {
			return connect.Errorf(entry.code, "%w", err)
		}
	}
	return connect.AsError(err)
}
