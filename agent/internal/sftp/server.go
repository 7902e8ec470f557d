// Package sftp is a server of the SSH File Transfer Protocol, version 3 with OpenSSH's extensions. It is the
// whole life of a process of its own, that runs as the workspace's user and speaks over its standard input
// and output.
//
// Its one rule: it decides nothing. The kernel knows what the user may do; whoever speaks is the user, and can
// do here nothing that a command could not do.
package sftp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// Argument makes the agent's program this server, and nothing else.
const Argument = "--sftp"

const (
	version     = 3
	handlesMax  = 1000
	memoryLimit = 48 << 20
	// sendAt is how many bytes of answers are sent without a look for more requests.
	sendAt = 256 << 10
)

// Status codes.
const (
	statusOK          = 0
	statusEnd         = 1
	statusNoFile      = 2
	statusDenied      = 3
	statusFailure     = 4
	statusBadMessage  = 5
	statusUnsupported = 8
)

// Main serves who speaks on in until that ends.
func Main(in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	debug.SetMemoryLimit(memoryLimit)
	home := os.Getenv("HOME")
	if home == "" {
		home = "/"
	}
	s := newServer(out, home)
	defer s.handles.closeAll()
	return s.serve(in)
}

// server answers one client, one request after the other in the order in which they came.
type server struct {
	out     io.Writer
	answers []byte
	// from is where the answer under way begins in answers.
	from    int
	handles handles
	names   names
	home    string
	greeted bool
}

func newServer(out io.Writer, home string) *server {
	return &server{
		out: out, answers: make([]byte, 0, sendAt+packetMax), home: home,
		handles: handles{open: map[uint32]*handle{}}, names: names{users: map[uint32]string{}, groups: map[uint32]string{}},
	}
}

func (s *server) serve(in io.Reader) error {
	reader := bufio.NewReaderSize(in, packetMax+4)
	for {
		// Nothing is held back while we would wait for the client.
		if !complete(reader) || len(s.answers) >= sendAt {
			if err := s.send(); err != nil {
				return err
			}
		}
		packet, err := next(reader)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.Join(err, s.send())
		}
		if err := s.handle(packet[0], packet[1:]); err != nil {
			return errors.Join(err, s.send())
		}
		_, _ = reader.Discard(4 + len(packet))
	}
}

// complete says whether a whole packet is there already.
func complete(reader *bufio.Reader) bool {
	if reader.Buffered() < 4 {
		return false
	}
	head, _ := reader.Peek(4)
	return uint64(reader.Buffered()) >= 4+uint64(binary.BigEndian.Uint32(head))
}

// next gives the next packet, which stays in the reader.
func next(reader *bufio.Reader) ([]byte, error) {
	head, err := reader.Peek(4)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length == 0 || length > packetMax {
		return nil, fmt.Errorf("a packet of %d bytes: it must be between 1 and %d", length, packetMax)
	}
	packet, err := reader.Peek(4 + int(length))
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return packet[4:], nil
}

func (s *server) send() error {
	if len(s.answers) == 0 {
		return nil
	}
	_, err := s.out.Write(s.answers)
	s.answers = s.answers[:0]
	return err
}

// handle answers one packet. An error ends the connection.
func (s *server) handle(kind byte, body []byte) error {
	f := &fields{rest: body}
	if kind == typeInit {
		return s.greet(f)
	}
	if !s.greeted {
		return fmt.Errorf("packet of type %d before the first", kind)
	}
	id := f.number()
	if f.err != nil {
		return f.err
	}
	before := len(s.answers)
	operation, known := operations[kind]
	err := errUnsupported
	if known {
		err = operation(s, id, f)
	}
	if err != nil {
		// What was written of an answer that failed on its way is taken back.
		s.answers = s.answers[:before]
		s.status(id, err)
	} else if len(s.answers) == before {
		s.status(id, nil)
	}
	return nil
}

func (s *server) greet(f *fields) error {
	if asked := f.number(); f.err != nil || s.greeted {
		return fmt.Errorf("a greeting that is none, of version %d", asked)
	}
	s.greeted = true
	s.begin(typeVersion)
	s.answers = appendNumber(s.answers, version)
	for _, extension := range announced {
		s.answers = appendText(s.answers, extension.name)
		s.answers = appendText(s.answers, extension.version)
	}
	s.finish()
	return nil
}

// begin starts an answer, and finish ends it.
func (s *server) begin(kind byte) {
	s.from = len(s.answers)
	s.answers = append(s.answers, 0, 0, 0, 0, kind)
}

func (s *server) answer(kind byte, id uint32) {
	s.begin(kind)
	s.answers = appendNumber(s.answers, id)
}

func (s *server) finish() {
	binary.BigEndian.PutUint32(s.answers[s.from:], uint32(len(s.answers)-s.from-4))
}

func (s *server) status(id uint32, err error) {
	code, said := codeOf(err)
	s.answer(typeStatus, id)
	s.answers = appendNumber(s.answers, code)
	s.answers = appendText(s.answers, said)
	s.answers = appendText(s.answers, "")
	s.finish()
}

var (
	errUnsupported = errors.New("the operation is not supported")
	errHandle      = errors.New("there is no such handle")
	errHandles     = fmt.Errorf("%d files are open; close some first", handlesMax)
)

func codeOf(err error) (code uint32, said string) {
	var errno syscall.Errno
	switch {
	case err == nil:
		return statusOK, ""
	case err == io.EOF:
		return statusEnd, "end of file"
	case errors.Is(err, errUnsupported), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EOPNOTSUPP):
		return statusUnsupported, err.Error()
	case errors.Is(err, errShort):
		return statusBadMessage, err.Error()
	}
	// The path is the client's own; the reason is all that is worth saying.
	if errors.As(err, &errno) {
		said = errno.Error()
	} else {
		said = err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errno == syscall.ENOTDIR, errno == syscall.EBADF, errno == syscall.ELOOP:
		return statusNoFile, said
	case errors.Is(err, fs.ErrPermission), errno == syscall.EROFS:
		return statusDenied, said
	case errno == syscall.ENAMETOOLONG, errno == syscall.EINVAL:
		return statusBadMessage, said
	}
	return statusFailure, said
}
