// Package frame is the wire form of a process's output and input on Alcove's own routes.
//
// A frame is one type byte, a big-endian 32-bit length, and that many bytes.
package frame

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Type is the first byte of a frame.
type Type byte

// From the client.
const (
	Stdin    Type = 0
	StdinEOF Type = 5
	Resize   Type = 6
	Signal   Type = 7
)

// From the agent.
const (
	Stdout  Type = 1
	Stderr  Type = 2
	Exit    Type = 3
	Started Type = 4
	// Resync goes to viewers of a terminal only, as does Resize in this direction.
	Resync Type = 8
)

const (
	// HeaderSize is the number of bytes before the payload.
	HeaderSize = 5
	// PayloadMax is the largest payload that either side may send.
	PayloadMax = 1 << 20
	// OutputMax is the largest payload of an output frame that the agent makes.
	OutputMax = 32 << 10
)

// ErrTooLong says that the other side sent a length that is not allowed; the stream cannot go on.
var ErrTooLong = fmt.Errorf("frame is longer than %d bytes", PayloadMax)

// PutHeader writes a header into the first HeaderSize bytes of b.
func PutHeader(b []byte, kind Type, length int) {
	b[0] = byte(kind)
	binary.BigEndian.PutUint32(b[1:HeaderSize], uint32(length))
}

// Append adds a whole frame to b.
func Append(b []byte, kind Type, payload []byte) []byte {
	var header [HeaderSize]byte
	PutHeader(header[:], kind, len(payload))
	return append(append(b, header[:]...), payload...)
}

// Reader reads frames into one buffer that it keeps.
type Reader struct {
	source io.Reader
	header [HeaderSize]byte
	buffer []byte
}

// NewReader makes a Reader of source.
func NewReader(source io.Reader) *Reader { return &Reader{source: source} }

// Next returns the next frame. The payload is valid until the next call. At a clean end the error is
// io.EOF; in the middle of a frame it is io.ErrUnexpectedEOF.
func (r *Reader) Next() (Type, []byte, error) {
	if _, err := io.ReadFull(r.source, r.header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(r.header[1:])
	if length > PayloadMax {
		return 0, nil, ErrTooLong
	}
	// Grow as bytes arrive, not as the header promises.
	payload, err := readGrowing(r.source, r.buffer[:0], int(length))
	r.buffer = payload
	if err != nil {
		return 0, nil, err
	}
	return Type(r.header[0]), payload, nil
}

func readGrowing(source io.Reader, buffer []byte, length int) ([]byte, error) {
	const piece = 64 << 10
	for len(buffer) < length {
		start := len(buffer)
		want := min(piece, length-start)
		if cap(buffer) < start+want {
			grown := make([]byte, start, min(length, max(2*cap(buffer), start+want)))
			copy(grown, buffer)
			buffer = grown
		}
		buffer = buffer[:start+want]
		if _, err := io.ReadFull(source, buffer[start:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return buffer[:0], err
		}
	}
	return buffer, nil
}

// Split takes the first frame off b, which must hold whole frames.
func Split(b []byte) (kind Type, payload, rest []byte, ok bool) {
	if len(b) < HeaderSize {
		return 0, nil, nil, false
	}
	length := int(binary.BigEndian.Uint32(b[1:HeaderSize]))
	if length > len(b)-HeaderSize {
		return 0, nil, nil, false
	}
	return Type(b[0]), b[HeaderSize : HeaderSize+length], b[HeaderSize+length:], true
}
