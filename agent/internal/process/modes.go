package process

import "syscall"

// Modes is how a new terminal behaves: codes and values of RFC 4254, section 8. What is not in it stays as the
// kernel makes it. Codes that are unknown, or that mean nothing where there is no line (speeds, character size,
// parity), are left out.
type Modes map[uint8]uint32

// A character that does nothing, as SSH writes it and as Linux does.
const disabledOnWire, disabled = 255, 0

var characters = map[uint8]int{
	1: syscall.VINTR, 2: syscall.VQUIT, 3: syscall.VERASE, 4: syscall.VKILL, 5: syscall.VEOF, 6: syscall.VEOL,
	7: syscall.VEOL2, 8: syscall.VSTART, 9: syscall.VSTOP, 10: syscall.VSUSP, 12: syscall.VREPRINT,
	13: syscall.VWERASE, 14: syscall.VLNEXT, 16: syscall.VSWTC, 18: syscall.VDISCARD,
}

var inputs = map[uint8]uint32{
	30: syscall.IGNPAR, 31: syscall.PARMRK, 32: syscall.INPCK, 33: syscall.ISTRIP, 34: syscall.INLCR,
	35: syscall.IGNCR, 36: syscall.ICRNL, 37: syscall.IUCLC, 38: syscall.IXON, 39: syscall.IXANY,
	40: syscall.IXOFF, 41: syscall.IMAXBEL, 42: syscall.IUTF8,
}

var locals = map[uint8]uint32{
	50: syscall.ISIG, 51: syscall.ICANON, 52: syscall.XCASE, 53: syscall.ECHO, 54: syscall.ECHOE,
	55: syscall.ECHOK, 56: syscall.ECHONL, 57: syscall.NOFLSH, 58: syscall.TOSTOP, 59: syscall.IEXTEN,
	60: syscall.ECHOCTL, 61: syscall.ECHOKE,
}

var outputs = map[uint8]uint32{
	70: syscall.OPOST, 71: syscall.OLCUC, 72: syscall.ONLCR, 73: syscall.OCRNL, 74: syscall.ONOCR,
	75: syscall.ONLRET,
}

// apply changes what the modes name.
func (m Modes) apply(to *syscall.Termios) {
	for code, value := range m {
		if at, is := characters[code]; is {
			to.Cc[at] = character(value)
		}
		turn(&to.Iflag, inputs[code], value != 0)
		turn(&to.Lflag, locals[code], value != 0)
		turn(&to.Oflag, outputs[code], value != 0)
	}
}

func character(value uint32) uint8 {
	if value >= disabledOnWire {
		return disabled
	}
	return uint8(value)
}

func turn(flags *uint32, flag uint32, on bool) {
	if on {
		*flags |= flag
	} else {
		*flags &^= flag
	}
}
