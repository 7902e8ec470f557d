package sftp

import (
	"encoding/binary"
	"errors"
)

// packetMax is the longest packet taken or sent, without its length: what OpenSSH's clients count on.
const packetMax = 256 << 10

// dataMax is the most that one READ gives, and that one WRITE can carry.
const dataMax = packetMax - 1024

// Types of packets.
const (
	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpendir       = 11
	typeReaddir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRmdir         = 15
	typeRealpath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadlink      = 19
	typeSymlink       = 20
	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeName          = 104
	typeAttrs         = 105
	typeExtended      = 200
	typeExtendedReply = 201
)

var errShort = errors.New("the packet is shorter than what it should hold")

// fields reads a packet from its front. After the first field that is not there everything read is zero, and
// err says so.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n > len(f.rest) {
		f.err = errShort
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) number() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) long() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes gives a string's bytes, which are the packet's own.
func (f *fields) bytes() []byte {
	n := f.number()
	if f.err != nil || uint64(n) > uint64(len(f.rest)) {
		f.err = errShort
		return nil
	}
	return f.take(int(n))
}

func (f *fields) text() string { return string(f.bytes()) }

func appendNumber(b []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(b, n) }

func appendLong(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

func appendText(b []byte, text string) []byte {
	return append(appendNumber(b, uint32(len(text))), text...)
}
