package connect

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	envelopeSize   = 5
	flagCompressed = 1
	flagEnd        = 2

	streamType = "application/connect+json"
	// keepalive limits: what a client may ask for with Keepalive-Ping-Interval.
	keepaliveDefault = 90 * time.Second
	keepaliveMin     = time.Second
)

// Keepalive is how often the client wants a sign of life on a silent stream.
func Keepalive(r *http.Request) time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Keepalive-Ping-Interval"))
	if err != nil || seconds <= 0 || seconds > 3600 {
		return keepaliveDefault
	}
	return max(keepaliveMin, time.Duration(seconds)*time.Second)
}

// ReadEnvelope reads one enveloped message. At a clean end the error is io.EOF.
func ReadEnvelope(source io.Reader) (flags byte, message []byte, err error) {
	var header [envelopeSize]byte
	if _, err := io.ReadFull(source, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > messageMax {
		return 0, nil, Errorf(ResourceExhausted, "message of %d bytes is longer than %d", length, messageMax)
	}
	if header[0]&flagCompressed != 0 {
		return 0, nil, Errorf(Unimplemented, "compressed messages are not supported: send identity")
	}
	// Take what comes, not what the header promises: a liar must send the bytes to use the memory.
	message, err = io.ReadAll(io.LimitReader(source, int64(length)))
	if err != nil {
		return 0, nil, err
	}
	if len(message) < int(length) {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return header[0], message, nil
}

// Stream is the agent's side of a stream.
type Stream struct {
	mu      sync.Mutex
	writer  http.ResponseWriter
	control *http.ResponseController
	buffer  []byte
}

// Open starts a server stream: it reads the one request message and begins the answer.
// It answers and returns false when the request is not one.
func Open[Request any](w http.ResponseWriter, r *http.Request) (*Stream, *Request, bool) {
	if !AcceptStream(w, r) {
		return nil, nil, false
	}
	stream := Begin(w)
	relax := Hurry(w)
	_, message, err := ReadEnvelope(r.Body)
	relax()
	if err == io.EOF {
		err = Errorf(InvalidArgument, "the request has no message")
	}
	request := new(Request)
	if err == nil {
		err = decode(message, request)
	}
	if err != nil {
		stream.End(err)
		return nil, nil, false
	}
	return stream, request, true
}

// AcceptStream checks the content type, and answers and returns false if it is wrong.
func AcceptStream(w http.ResponseWriter, r *http.Request) bool {
	if kind := mediaType(r); kind != streamType {
		refuseType(w, kind, streamType)
		return false
	}
	return true
}

// Begin starts the answer to a stream call.
func Begin(w http.ResponseWriter) *Stream {
	w.Header().Set("Content-Type", streamType)
	return &Stream{writer: w, control: http.NewResponseController(w)}
}

// Receive decodes the next message of a client stream. At the end the error is io.EOF.
func Receive(r *http.Request, message any) error {
	flags, body, err := ReadEnvelope(r.Body)
	if err != nil {
		return err
	}
	if flags&flagEnd != 0 {
		return io.EOF
	}
	return decode(body, message)
}

// Send sends one message at once.
func (s *Stream) Send(message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return s.write(0, body)
}

// End sends the last envelope, with the error if there is one.
func (s *Stream) End(err error) {
	body := []byte("{}")
	if err != nil {
		body, _ = json.Marshal(map[string]*Error{"error": AsError(err)})
	}
	_ = s.write(flagEnd, body)
}

func (s *Stream) write(flags byte, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var header [envelopeSize]byte
	header[0] = flags
	binary.BigEndian.PutUint32(header[1:], uint32(len(body)))
	s.buffer = append(append(s.buffer[:0], header[:]...), body...)
	if _, err := s.writer.Write(s.buffer); err != nil {
		return err
	}
	return s.control.Flush()
}
