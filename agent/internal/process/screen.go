package process

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

const (
	titleMax    = 256
	sequenceMax = 64
	// stringMax is how much of a control string is read for a title; what is longer is none.
	stringMax = 4 * titleMax
)

// followed are the private modes that a viewer must know to show what comes next, and their defaults.
var followed = [...]struct {
	number string
	on     bool
}{
	{"1", false}, {"7", true}, {"25", true}, {"47", false}, {"1047", false}, {"1049", false},
	{"1000", false}, {"1002", false}, {"1003", false}, {"1004", false}, {"1006", false}, {"2004", false},
}

const alternate = 1<<3 | 1<<4 | 1<<5

type screenState byte

const (
	ground screenState = iota
	escape
	control
	text       // a control string: OSC, DCS, APC, PM, SOS
	textEscape // the escape that may end it
)

// screen reads what a program tells its terminal, for the little that must outlive forgotten output: the
// title, and which modes are on. It is a value: a copy goes on by itself.
type screen struct {
	state    screenState
	isOSC    bool
	held     [stringMax]byte
	length   int
	tooLong  bool
	inverted uint32 // a bit for each of followed that is not as by default
	keypad   bool
	title    string
}

func (s *screen) feed(data []byte) {
	for len(data) > 0 {
		if s.state == ground {
			at := bytes.IndexByte(data, 0x1b)
			if at < 0 {
				return
			}
			data, s.state = data[at+1:], escape
			continue
		}
		s.step(data[0])
		data = data[1:]
	}
}

func (s *screen) step(b byte) {
	switch {
	case b == 0x18 || b == 0x1a:
		s.state = ground
	case s.state == text && b == 0x1b:
		s.state = textEscape
	case s.state == text && b == 0x07 && s.isOSC:
		s.endText()
	case s.state == text:
		s.hold(b, stringMax)
	case s.state == textEscape && b == '\\':
		s.endText()
	case b == 0x1b:
		s.state = escape
	case s.state == control:
		s.inControl(b)
	default:
		s.afterEscape(b)
	}
}

func (s *screen) afterEscape(b byte) {
	s.length, s.tooLong, s.state = 0, false, ground
	switch {
	case b == '[':
		s.state = control
	case b == ']':
		s.state, s.isOSC = text, true
	case b == 'P' || b == '_' || b == '^' || b == 'X':
		s.state, s.isOSC = text, false
	case b == '=' || b == '>':
		s.keypad = b == '='
	case b == 'c':
		s.inverted, s.keypad = 0, false
	case b < 0x30: // an intermediate, or a control character in between
		s.state = escape
	}
}

func (s *screen) inControl(b byte) {
	if b >= 0x40 && b <= 0x7e {
		s.state = ground
		held := string(s.held[:s.length])
		switch {
		case s.tooLong:
		case strings.HasPrefix(held, "?") && (b == 'h' || b == 'l'):
			s.set(strings.Split(held[1:], ";"), b == 'h')
		case held == "!" && b == 'p':
			s.inverted, s.keypad = s.inverted&alternate, false
		}
		return
	}
	if b >= 0x20 {
		s.hold(b, sequenceMax)
	}
}

func (s *screen) hold(b byte, limit int) {
	if s.length >= limit {
		s.tooLong = true
		return
	}
	s.held[s.length] = b
	s.length++
}

func (s *screen) set(numbers []string, on bool) {
	for _, number := range numbers {
		for i, mode := range followed {
			if mode.number != number {
				continue
			}
			if on != mode.on {
				s.inverted |= 1 << i
			} else {
				s.inverted &^= 1 << i
			}
		}
	}
}

func (s *screen) endText() {
	s.state = ground
	held := s.held[:s.length]
	if s.isOSC && !s.tooLong && (bytes.HasPrefix(held, []byte("0;")) || bytes.HasPrefix(held, []byte("2;"))) {
		s.title = shown(string(held[2:]), titleMax)
	}
}

// onAlternate says whether a program has the whole screen to itself.
func (s *screen) onAlternate() bool { return s.inverted&alternate != 0 }

// modes is what brings a terminal that was just reset to these modes. It is made of our own words only.
func (s *screen) modes() string {
	var b strings.Builder
	for i, mode := range followed {
		if s.inverted&(1<<i) == 0 {
			continue
		}
		b.WriteString("\x1b[?" + mode.number)
		if mode.on {
			b.WriteByte('l')
		} else {
			b.WriteByte('h')
		}
	}
	if s.keypad {
		b.WriteString("\x1b=")
	}
	return b.String()
}

// shown makes a text of a program's harmless to show: valid, without control characters, at most limit bytes.
func shown(told string, limit int) string {
	told = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == 0x2028 || r == 0x2029 ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, told)
	for len(told) > limit {
		_, size := utf8.DecodeLastRuneInString(told)
		told = told[:len(told)-size]
	}
	return told
}
