package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// wireChannel gives the child one descriptor for both directions. The descriptor is a copy: the child's ends
// are closed by their numbers once it runs.
func (w *wiring) wireChannel(channel *os.File) error {
	raw, err := channel.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 3)
		if errno != 0 {
			failed = errno
			return
		}
		w.child[0], w.child[1] = int(copied), int(copied)
	})
	if err != nil || failed != nil {
		return fmt.Errorf("copy the channel: %w", errors.Join(err, failed))
	}
	null, err := syscall.Open("/dev/null", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	w.child[2] = null
	return nil
}
