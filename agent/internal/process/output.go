package process

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"alcove.dev/agent/internal/frame"
)

const (
	pipeRingMax     = 128 << 10
	terminalRingMax = 256 << 10
	ringStart       = 4 << 10
	// stallMax is how long one reader may hold up the others.
	stallMax = 5 * time.Second
)

// ErrStalled ends a reader that held up others for longer than stallMax.
var ErrStalled = errors.New("this reader was too slow while others were waiting")

// Output is the bounded record of what a process wrote: a ring of whole frames with one cursor per reader.
//
// A reader that does not read holds up the process (its pipe fills), so that any amount of output costs no
// memory. Without readers the oldest frames are forgotten; what is still there is the scrollback.
type Output struct {
	mu      sync.Mutex
	space   sync.Cond // somebody read, left, or everything was closed
	ring    []byte
	max     int
	head    uint64 // offset of the oldest frame
	tail    uint64 // offset after the newest
	readers map[*Reader]struct{}
	ended   bool
}

func newOutput(limit int) *Output {
	o := &Output{max: limit, readers: map[*Reader]struct{}{}}
	o.space.L = &o.mu
	return o
}

// Reader is one client's place in an Output.
type Reader struct {
	output  *Output
	cursor  uint64
	wake    chan struct{}
	stalled bool
}

// Read makes a reader that starts at the oldest frame if replay is set, else at what comes next.
func (o *Output) Read(replay bool) *Reader {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &Reader{output: o, cursor: o.tail, wake: make(chan struct{}, 1)}
	if replay {
		r.cursor = o.head
	}
	o.readers[r] = struct{}{}
	return r
}

// Close lets the process go on without this reader.
func (r *Reader) Close() {
	o := r.output
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.readers, r)
	o.space.Broadcast()
}

// Next copies as many whole frames as fit into buffer, waiting until there is one. buffer must hold the
// largest output frame. At the end of the output the error is io.EOF.
func (r *Reader) Next(ctx context.Context, buffer []byte) (int, error) {
	for {
		n, err := r.take(buffer)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (r *Reader) take(buffer []byte) (int, error) {
	o := r.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.stalled {
		return 0, ErrStalled
	}
	taken := 0
	for r.cursor < o.tail {
		size := o.frameSize(r.cursor)
		if taken+size > len(buffer) {
			break
		}
		o.copyOut(buffer[taken:taken+size], r.cursor)
		r.cursor += uint64(size)
		taken += size
	}
	if taken > 0 {
		o.space.Broadcast()
		return taken, nil
	}
	if o.ended {
		return 0, io.EOF
	}
	return 0, nil
}

// write adds one frame, waiting while a reader has not taken what would have to be forgotten.
func (o *Output) write(kind frame.Type, payload []byte) {
	var header [frame.HeaderSize]byte
	frame.PutHeader(header[:], kind, len(payload))
	need := uint64(frame.HeaderSize + len(payload))

	o.mu.Lock()
	defer o.mu.Unlock()
	if slowest := o.slowest(); slowest != nil && o.tail+need-slowest.cursor > uint64(o.max) {
		o.waitForSpace(need)
	}
	if o.ended {
		return
	}
	for o.tail+need-o.head > uint64(o.max) {
		o.head += uint64(o.frameSize(o.head))
	}
	o.grow(int(o.tail + need - o.head))
	o.copyIn(header[:], o.tail)
	o.copyIn(payload, o.tail+frame.HeaderSize)
	o.tail += need
	for r := range o.readers {
		r.notify()
	}
}

// waitForSpace returns when need bytes fit without forgetting what a reader has not taken. A single reader
// may take for ever; one that holds up others may not.
func (o *Output) waitForSpace(need uint64) {
	began := time.Now()
	timer := time.AfterFunc(stallMax, o.space.Broadcast)
	defer timer.Stop()
	for !o.ended {
		slowest := o.slowest()
		if slowest == nil || o.tail+need-slowest.cursor <= uint64(o.max) {
			return
		}
		if len(o.readers) > 1 && time.Since(began) >= stallMax {
			slowest.stalled = true
			slowest.notify()
			delete(o.readers, slowest)
			continue
		}
		o.space.Wait()
	}
}

func (o *Output) slowest() *Reader {
	var slowest *Reader
	for r := range o.readers {
		if slowest == nil || r.cursor < slowest.cursor {
			slowest = r
		}
	}
	return slowest
}

// end says that nothing more will come. Writers that wait give up.
func (o *Output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.space.Broadcast()
	for r := range o.readers {
		r.notify()
	}
}

func (r *Reader) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (o *Output) frameSize(offset uint64) int {
	var header [frame.HeaderSize]byte
	o.copyOut(header[:], offset)
	return frame.HeaderSize + int(header[1])<<24 + int(header[2])<<16 + int(header[3])<<8 + int(header[4])
}

// grow makes the ring hold size bytes; offsets keep their meaning.
func (o *Output) grow(size int) {
	if size <= len(o.ring) {
		return
	}
	length := max(len(o.ring), ringStart)
	for length < size {
		length *= 2
	}
	kept := make([]byte, o.tail-o.head)
	if len(kept) > 0 {
		o.copyOut(kept, o.head)
	}
	o.ring = make([]byte, min(length, o.max))
	o.copyIn(kept, o.head)
}

func (o *Output) copyIn(data []byte, offset uint64) {
	at := int(offset % uint64(len(o.ring)))
	n := copy(o.ring[at:], data)
	copy(o.ring, data[n:])
}

func (o *Output) copyOut(data []byte, offset uint64) {
	at := int(offset % uint64(len(o.ring)))
	n := copy(data, o.ring[at:])
	copy(data[n:], o.ring)
}
