package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"alcove.dev/agent/internal/identity"
)

const (
	tiocgptpeer = 0x5441
	tiocgpgrp   = 0x540f
	tiocgptn    = 0x80045430
	tiocsptlck  = 0x40045431
	tiocswinsz  = 0x5414
)

type winsize struct{ rows, cols, x, y uint16 }

// openTerminal makes a terminal pair. It is opened with the user's rights, because devpts gives the slave to
// whoever opened the master, and we keep no capability to give it away.
func openTerminal(user identity.User, size Size, modes Modes) (master *os.File, slave int, err error) {
	var fd int
	err = user.Act(func() error {
		fd, err = syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/ptmx: %w", err)
		}
		slave, err = openSlave(fd)
		if err != nil {
			syscall.Close(fd)
		}
		return err
	})
	if err != nil {
		return nil, -1, err
	}
	err = errors.Join(setSize(uintptr(fd), size), setModes(uintptr(slave), modes), syscall.SetNonblock(fd, true))
	if err != nil {
		syscall.Close(fd)
		syscall.Close(slave)
		return nil, -1, fmt.Errorf("set up the terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), "terminal"), slave, nil
}

func openSlave(master int) (int, error) {
	var unlock int32
	if err := ioctl(uintptr(master), tiocsptlck, unsafe.Pointer(&unlock)); err != nil {
		return -1, fmt.Errorf("unlock the terminal: %w", err)
	}
	flags := syscall.O_RDWR | syscall.O_NOCTTY | syscall.O_CLOEXEC
	peer, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(master), tiocgptpeer, uintptr(flags))
	if errno == 0 {
		return int(peer), nil
	}
	// gVisor and old kernels know only the path.
	var number uint32
	if err := ioctl(uintptr(master), tiocgptn, unsafe.Pointer(&number)); err != nil {
		return -1, fmt.Errorf("number of the terminal: %w", err)
	}
	path := "/dev/pts/" + strconv.FormatUint(uint64(number), 10)
	slave, err := syscall.Open(path, flags, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	return slave, nil
}

func setSize(fd uintptr, size Size) error {
	size = size.orDefault()
	ws := winsize{rows: size.Rows, cols: size.Cols}
	return ioctl(fd, tiocswinsz, unsafe.Pointer(&ws))
}

func setModes(fd uintptr, modes Modes) error {
	if len(modes) == 0 {
		return nil
	}
	var now syscall.Termios
	if err := ioctl(fd, syscall.TCGETS, unsafe.Pointer(&now)); err != nil {
		return err
	}
	modes.apply(&now)
	return ioctl(fd, syscall.TCSETS, unsafe.Pointer(&now))
}

func ioctl(fd, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}
