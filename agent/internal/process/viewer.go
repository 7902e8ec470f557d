package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"alcove.dev/agent/internal/frame"
)

const (
	// passedOverAfter is how long a terminal's program waits for viewers none of whom reads.
	passedOverAfter = time.Second
	// viewerLagMax is how far the program may be ahead of the quickest viewer: what is still shown after Ctrl-C.
	viewerLagMax = 128 << 10
	// lineLookMax is how far a viewer's beginning is moved, so that it is that of a line.
	lineLookMax = 4 << 10
	labelMax    = 256
)

// Opening is where a viewer begins.
type Opening struct {
	// Offset is that of the first byte that the viewer will get; End is what was written so far.
	Offset uint64 `json:"offset"`
	End    uint64 `json:"end"`
	// Modes brings a terminal that was just reset to where it was at Offset.
	Modes string `json:"modes"`
}

// View makes a reader of a terminal that may be passed over: one that does not keep up holds up nobody, and
// is told where it goes on. It begins at after if that is still kept, else at the oldest line that is.
func (o *Output) View(after *uint64) (*Reader, Opening) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &Reader{output: o, viewer: true, wake: make(chan struct{}, 1)}
	if after != nil && *after >= o.head && *after <= o.tail {
		r.cursor = *after
	} else {
		r.cursor = o.lineFrom(o.head)
	}
	o.enter(r)
	return r, Opening{Offset: r.cursor, End: o.tail, Modes: o.modesAt(r.cursor)}
}

// enter adds a viewer; the first one leads.
func (o *Output) enter(r *Reader) {
	o.readers[r] = struct{}{}
	if o.leader == nil {
		o.leader = r
	}
	o.tellViewers()
}

// Lead makes this viewer the one whose terminal answers what programs ask: who typed last.
func (r *Reader) Lead() {
	o := r.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.viewer && o.leader != r {
		o.leader = r
		o.tellViewers()
	}
}

// leave gives the lead to somebody else, and forgets the viewer's size.
func (o *Output) leave(r *Reader) {
	delete(o.readers, r)
	if o.leader == r {
		o.leader = nil
		for other := range o.readers {
			if other.viewer {
				o.leader = other
				break
			}
		}
	}
	if r.viewer {
		o.tellViewers()
	}
}

// SetViewSize says how large this viewer's screen is; Fit acts on it.
func (r *Reader) SetViewSize(size Size) {
	o := r.output
	o.mu.Lock()
	defer o.mu.Unlock()
	r.size = size
}

// Smallest is the size that fits on all viewers' screens; false if none has said its own.
func (o *Output) Smallest() (size Size, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.readers {
		if !r.viewer || r.size.Cols == 0 || r.size.Rows == 0 {
			continue
		}
		if !known {
			size, known = r.size, true
			continue
		}
		size.Cols, size.Rows = min(size.Cols, r.size.Cols), min(size.Rows, r.size.Rows)
	}
	return size, known
}

// Resized has the viewers told how large the terminal is now.
func (o *Output) Resized(size Size) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.size != size {
		o.size = size
		o.tellViewers()
	}
}

func (o *Output) tellViewers() {
	for r := range o.readers {
		if r.viewer {
			r.untold = true
			r.notify()
		}
	}
}

// notices puts what a viewer has to be told before the next output into buffer.
func (r *Reader) notices(buffer []byte) int {
	o, told := r.output, buffer[:0]
	if r.cursor < o.head {
		r.cursor = o.lineFrom(max(o.head, o.tail-min(o.tail, uint64(o.max/4))))
		text, _ := json.Marshal(Opening{Offset: r.cursor, End: o.tail, Modes: o.modesAt(r.cursor)})
		told = frame.Append(told, frame.Resync, text)
	}
	if r.untold {
		r.untold = false
		viewers := 0
		for other := range o.readers {
			if other.viewer {
				viewers++
			}
		}
		text := fmt.Sprintf(`{"cols":%d,"rows":%d,"viewers":%d,"leads":%t}`, o.size.Cols, o.size.Rows, viewers, o.leader == r)
		told = frame.Append(told, frame.Resize, []byte(text))
	}
	return len(told)
}

// lineFrom is the beginning of the first line from offset on, if one is near.
func (o *Output) lineFrom(offset uint64) uint64 {
	if offset == 0 || offset >= o.tail {
		return min(offset, o.tail)
	}
	look := make([]byte, min(lineLookMax, o.tail-offset))
	o.copyOut(look, offset)
	if at := bytes.IndexByte(look, '\n'); at >= 0 {
		return offset + uint64(at) + 1
	}
	return offset
}

func (o *Output) modesAt(offset uint64) string {
	then := o.past
	o.feed(&then, o.head, offset)
	return then.modes()
}

// feed shows the kept bytes between two offsets to s.
func (o *Output) feed(s *screen, from, to uint64) {
	for from < to {
		at := int(from % uint64(len(o.ring)))
		n := min(len(o.ring)-at, int(to-from))
		s.feed(o.ring[at : at+n])
		from += uint64(n)
	}
}

// Fit makes the terminal as large as fits on all viewers' screens, after one came, left or changed.
func (p *Process) Fit() {
	p.fitting.Lock()
	defer p.fitting.Unlock()
	if size, known := p.Output.Smallest(); known {
		_ = p.Resize(size)
	}
}

// Redraw has a program that has the whole screen draw it again, for who did not see it being drawn.
func (p *Process) Redraw() {
	if p.terminal == nil || !p.Output.onAlternate() {
		return
	}
	raw, err := p.terminal.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		var group int32
		if ioctl(fd, tiocgpgrp, unsafe.Pointer(&group)) == nil && group > 1 {
			_ = syscall.Kill(-int(group), syscall.SIGWINCH)
		}
	})
}

func (o *Output) onAlternate() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.live.onAlternate()
}

// Terminal is what a list of terminals tells of one.
type Terminal struct {
	Tag       string    `json:"tag"`
	ID        string    `json:"id"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Cols      uint16    `json:"cols"`
	Rows      uint16    `json:"rows"`
	Viewers   int       `json:"viewers"`
	// Written is the number of bytes so far, Kept how many of them can be seen again.
	Written uint64 `json:"written"`
	Kept    int    `json:"kept"`
	Title   string `json:"title"`
	Label   string `json:"label"`
}

// Terminal tells of p; false if it has none.
func (p *Process) Terminal() (Terminal, bool) {
	if p.terminal == nil {
		return Terminal{}, false
	}
	o := p.Output
	o.mu.Lock()
	defer o.mu.Unlock()
	return Terminal{
		Tag: p.Spec.Tag, ID: p.ID, PID: p.PID, StartedAt: p.Started.UTC(), Cols: o.size.Cols, Rows: o.size.Rows,
		Viewers: len(o.readers), Written: o.tail, Kept: int(o.tail - o.head), Title: o.live.title, Label: o.label,
	}, true
}

// SetLabel gives a terminal a name for people to read; it is bounded, and made harmless to show.
func (p *Process) SetLabel(label string) {
	o := p.Output
	o.mu.Lock()
	defer o.mu.Unlock()
	o.label = shown(label, labelMax)
}
