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
	// scrollbackMax is what is kept of a terminal that goes on without anybody.
	scrollbackMax = 1 << 20
	ringStart     = 4 << 10
	// stallMax is how long one reader may hold up the others.
	stallMax = 5 * time.Second
	// waitCheck is how often a writer that waits looks at who holds it up.
	waitCheck = 250 * time.Millisecond
)

// ErrStalled ends a reader that held up others for longer than stallMax.
var ErrStalled = errors.New("this reader was too slow while others were waiting")

// Output is the bounded record of what a process wrote: a ring of whole frames with one cursor per reader.
// A terminal's is one stream of bytes: its ring has no frames, which are made as they are read, and an offset
// is the number of bytes written before.
//
// A reader that does not read holds up the process (its pipe fills), so that any amount of output costs no
// memory. Without readers the oldest frames are forgotten; what is still there is the scrollback.
// Viewers of a terminal are another kind of reader; see View.
type Output struct {
	mu      sync.Mutex
	space   sync.Cond // somebody read, left, or everything was closed
	ring    []byte
	max     int
	head    uint64 // offset of the oldest frame
	tail    uint64 // offset after the newest
	readers map[*Reader]struct{}
	ended   bool

	plain  bool   // a terminal's
	live   screen // at tail
	past   screen // at head
	leader *Reader
	size   Size
	label  string
	moved  time.Time // when a viewer last read
	// passing says that the program goes on without its viewers, until one of them reads.
	passing bool
}

func newOutput(limit int, plain bool) *Output {
	o := &Output{max: limit, plain: plain, readers: map[*Reader]struct{}{}}
	o.space.L = &o.mu
	return o
}

// Reader is one client's place in an Output.
type Reader struct {
	output  *Output
	cursor  uint64
	wake    chan struct{}
	stalled bool

	viewer bool
	size   Size // of a viewer's own screen; zero if it has not said
	untold bool // a viewer does not know how many there are, or how large the terminal is
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
	o.leave(r)
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
	if r.viewer {
		taken = r.notices(buffer)
	}
	if o.plain {
		taken += r.takeBytes(buffer[taken:])
	} else {
		taken += r.takeFrames(buffer[taken:])
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

func (r *Reader) takeFrames(buffer []byte) int {
	o, taken := r.output, 0
	for r.cursor < o.tail {
		size := o.frameSize(r.cursor)
		if taken+size > len(buffer) {
			break
		}
		o.copyOut(buffer[taken:taken+size], r.cursor)
		r.cursor += uint64(size)
		taken += size
	}
	return taken
}

func (r *Reader) takeBytes(buffer []byte) int {
	o := r.output
	size := min(int(o.tail-r.cursor), len(buffer)-frame.HeaderSize, frame.OutputMax)
	if size <= 0 {
		return 0
	}
	frame.PutHeader(buffer, frame.Stdout, size)
	o.copyOut(buffer[frame.HeaderSize:frame.HeaderSize+size], r.cursor)
	r.cursor += uint64(size)
	if r.viewer {
		o.moved, o.passing = time.Now(), false
	}
	return frame.HeaderSize + size
}

// write adds one frame, waiting while a reader has not taken what would have to be forgotten.
func (o *Output) write(kind frame.Type, payload []byte) {
	var header [frame.HeaderSize]byte
	frame.PutHeader(header[:], kind, len(payload))
	need := uint64(len(payload))
	if !o.plain {
		need += frame.HeaderSize
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if slow, waiting := o.holdingUp(need); slow != nil || waiting {
		o.waitForSpace(need)
	}
	if o.ended {
		return
	}
	o.forget(need)
	o.grow(int(o.tail + need - o.head))
	if o.plain {
		o.live.feed(payload)
		o.copyIn(payload, o.tail)
	} else {
		o.copyIn(header[:], o.tail)
		o.copyIn(payload, o.tail+frame.HeaderSize)
	}
	o.tail += need
	for r := range o.readers {
		r.notify()
	}
}

// forget makes room for need bytes.
func (o *Output) forget(need uint64) {
	if o.plain {
		if kept := o.tail + need - o.head; kept > uint64(o.max) {
			head := o.head + kept - uint64(o.max)
			o.feed(&o.past, o.head, head)
			o.head = head
		}
		return
	}
	for o.tail+need-o.head > uint64(o.max) {
		o.head += uint64(o.frameSize(o.head))
	}
}

// waitForSpace returns when need bytes fit without forgetting what a reader has not taken. A single reader
// may take for ever; one that holds up others may not, and viewers of whom none reads are passed over.
func (o *Output) waitForSpace(need uint64) {
	began := time.Now()
	var timer *time.Timer
	timer = time.AfterFunc(waitCheck, func() {
		o.mu.Lock() // or it would come between a look and the wait
		defer o.mu.Unlock()
		o.space.Broadcast()
		timer.Reset(waitCheck)
	})
	defer timer.Stop()
	for !o.ended {
		slowest, waiting := o.holdingUp(need)
		switch {
		case slowest == nil && !waiting:
			return
		case slowest == nil && time.Since(o.moved) >= passedOverAfter && (o.passing || time.Since(began) >= passedOverAfter):
			o.passing = true
			return
		case slowest != nil && len(o.readers) > 1 && time.Since(began) >= stallMax:
			slowest.stalled = true
			slowest.notify()
			o.leave(slowest)
			continue
		}
		o.space.Wait()
	}
}

// holdingUp gives the slowest reader that has not taken what need bytes would have forgotten, and says
// whether there are viewers and it is so with all of them.
func (o *Output) holdingUp(need uint64) (slowest *Reader, viewers bool) {
	others, behind, ahead := 0, 0, 0
	for r := range o.readers {
		room := o.max
		if r.viewer {
			room = min(o.max, viewerLagMax)
		}
		late := o.tail+need-r.cursor > uint64(room)
		switch {
		case r.viewer && late:
			behind++
		case r.viewer:
			ahead++
		case late && (slowest == nil || r.cursor < slowest.cursor):
			slowest = r
			others++
		default:
			others++
		}
	}
	return slowest, behind > 0 && ahead == 0 && others == 0
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
