package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"alcove.dev/agent/internal/frame"
)

// view is what a viewer made of its frames.
type view struct {
	text    []byte
	at      uint64 // offset after the newest byte
	resyncs int
	cols    int
	viewers int
	leads   bool
}

func (v *view) take(t *testing.T, frames []byte) {
	t.Helper()
	for {
		kind, payload, rest, ok := frame.Split(frames)
		if !ok {
			return
		}
		switch kind {
		case frame.Stdout:
			v.text = append(v.text, payload...)
			v.at += uint64(len(payload))
		case frame.Resync:
			var where Opening
			if err := json.Unmarshal(payload, &where); err != nil {
				t.Fatal(err)
			}
			v.text, v.at = nil, where.Offset
			v.resyncs++
		case frame.Resize:
			var told struct {
				Cols, Viewers int
				Leads         bool
			}
			if err := json.Unmarshal(payload, &told); err != nil {
				t.Fatal(err)
			}
			v.cols, v.viewers, v.leads = told.Cols, told.Viewers, told.Leads
		}
		frames = rest
	}
}

// next reads what is there without waiting.
func (v *view) next(t *testing.T, r *Reader) {
	t.Helper()
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := r.take(buffer)
		if n == 0 || err != nil {
			return
		}
		v.take(t, buffer[:n])
	}
}

func (v *view) rest(t *testing.T, r *Reader) {
	t.Helper()
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := r.Next(context.Background(), buffer)
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		v.take(t, buffer[:n])
	}
}

func lines(o *Output, from, to int) {
	for i := from; i < to; i++ {
		o.write(frame.Stdout, fmt.Appendf(nil, "line %07d\n", i))
	}
}

func TestAViewerGoesOnWhereItWas(t *testing.T) {
	o := newOutput(scrollbackMax, true)
	o.write(frame.Stdout, []byte("seen|not seen"))
	after := uint64(len("seen|"))
	r, opening := o.View(&after)
	var v view
	v.next(t, r)
	if string(v.text) != "not seen" || opening.Offset != after || opening.End != 13 {
		t.Fatalf("got %q from %+v", v.text, opening)
	}
}

func TestAViewerOfWhatIsForgottenBeginsWithALine(t *testing.T) {
	o := newOutput(10_000, true)
	lines(o, 0, 5000)
	for _, after := range []*uint64{nil, new(uint64)} {
		r, opening := o.View(after)
		v := view{at: opening.Offset}
		v.next(t, r)
		if !bytes.HasPrefix(v.text, []byte("line ")) || v.at != o.tail || len(v.text) < 9000 {
			t.Fatalf("got %d bytes from %d: %.20q", len(v.text), opening.Offset, v.text)
		}
	}
}

func TestAnOffsetThatNeverWasBeginsAtTheOldest(t *testing.T) {
	o := newOutput(scrollbackMax, true)
	o.write(frame.Stdout, []byte("abc"))
	after := uint64(99)
	if _, opening := o.View(&after); opening.Offset != 0 {
		t.Fatalf("got %+v", opening)
	}
}

func TestASlowViewerIsPassedOverAndGoesOnLater(t *testing.T) {
	o := newOutput(64<<10, true)
	slow, _ := o.View(nil)
	fast, _ := o.View(nil)
	var quick, late view
	for i := range 40_000 {
		lines(o, i, i+1)
		if i%1000 == 0 {
			quick.next(t, fast)
		}
	}
	quick.next(t, fast)
	if quick.resyncs != 0 || len(quick.text) != 40_000*13 {
		t.Fatalf("who kept up got %d bytes, %d resyncs", len(quick.text), quick.resyncs)
	}
	late.next(t, slow)
	if late.resyncs != 1 || late.at != o.tail || !bytes.HasPrefix(late.text, []byte("line ")) {
		t.Fatalf("who did not is at %d of %d after %d resyncs", late.at, o.tail, late.resyncs)
	}
	if len(o.ring) > 64<<10 {
		t.Fatalf("%d bytes are kept", len(o.ring))
	}
}

func TestOneViewerThatReadsHoldsUpTheProgram(t *testing.T) {
	o := newOutput(64<<10, true)
	r, _ := o.View(nil)
	go func() {
		lines(o, 0, 100_000)
		o.end()
	}()
	var v view
	v.rest(t, r)
	if v.resyncs != 0 || len(v.text) != 100_000*13 {
		t.Fatalf("got %d bytes after %d resyncs", len(v.text), v.resyncs)
	}
}

func TestViewersWhoAllStoppedReadingDoNotHoldUpTheProgramForLong(t *testing.T) {
	o := newOutput(16<<10, true)
	r, _ := o.View(nil)
	began := time.Now()
	lines(o, 0, 10_000)
	if took := time.Since(began); took > passedOverAfter+2*time.Second {
		t.Fatalf("it took %s", took)
	}
	var v view
	v.next(t, r)
	if v.resyncs != 1 || v.at != o.tail {
		t.Fatalf("the viewer is at %d of %d", v.at, o.tail)
	}
}

func TestAReaderThatIsNoViewerIsNotPassedOver(t *testing.T) {
	o := newOutput(64<<10, true)
	o.View(nil)
	r := o.Read(true)
	go func() {
		lines(o, 0, 50_000)
		o.end()
	}()
	if got := all(t, r); len(got) != 50_000*13 {
		t.Fatalf("got %d bytes", len(got))
	}
}

func TestTheSmallestScreenWins(t *testing.T) {
	o := newOutput(1000, true)
	o.Resized(Size{80, 24})
	wide, _ := o.View(nil)
	narrow, _ := o.View(nil)
	wide.SetViewSize(Size{200, 20})
	narrow.SetViewSize(Size{40, 50})
	if size, known := o.Smallest(); !known || size != (Size{40, 20}) {
		t.Fatalf("got %+v", size)
	}
	o.Resized(Size{40, 20})
	var v view
	v.next(t, wide)
	if v.cols != 40 || v.viewers != 2 {
		t.Fatalf("told %+v", v)
	}
	narrow.Close()
	if size, _ := o.Smallest(); size != (Size{200, 20}) {
		t.Fatalf("got %+v", size)
	}
}

func TestWhoTypedLastLeads(t *testing.T) {
	o := newOutput(1000, true)
	first, _ := o.View(nil)
	second, _ := o.View(nil)
	var a, b view
	look := func() [2]bool {
		a.next(t, first)
		b.next(t, second)
		return [2]bool{a.leads, b.leads}
	}
	if got := look(); got != [2]bool{true, false} {
		t.Fatalf("at first %v", got)
	}
	second.Lead()
	if got := look(); got != [2]bool{false, true} {
		t.Fatalf("then %v", got)
	}
	second.Close()
	a.next(t, first)
	if !a.leads || a.viewers != 1 {
		t.Fatalf("left alone: %+v", a)
	}
}

func TestModesOutliveTheOutputThatSetThem(t *testing.T) {
	o := newOutput(1000, true)
	o.write(frame.Stdout, []byte("\x1b[?1049;25"))
	o.write(frame.Stdout, []byte("h\x1b[?25l\x1b=\x1b[?1000h\x1b[?1000l"))
	lines(o, 0, 1000)
	if _, opening := o.View(nil); opening.Modes != "\x1b[?25l\x1b[?1049h\x1b=" {
		t.Fatalf("got %q", opening.Modes)
	}
	o.write(frame.Stdout, []byte("\x1bc"))
	lines(o, 0, 1000)
	if _, opening := o.View(nil); opening.Modes != "" {
		t.Fatalf("after a reset %q", opening.Modes)
	}
}

func TestATitleIsBoundedAndHarmless(t *testing.T) {
	for told, want := range map[string]string{
		"\x1b]0;plain\x07":                           "plain",
		"\x1b]2;by string end\x1b\\":                 "by string end",
		"\x1b]2;a\x1b\\\x1b]52;c;aGk=\a":             "a",
		"\x1b]2;\u202eright\tto\u009b\a":             "rightto",
		"\x1b]2;cut off":                             "",
		"\x1bP2;no\x1b\\":                            "",
		"\x1b]2;" + strings.Repeat("é", 200) + "\a":  strings.Repeat("é", 128),
		"\x1b]2;" + strings.Repeat("x", 5000) + "\a": "",
	} {
		var s screen
		for _, b := range []byte(told) {
			s.feed([]byte{b})
		}
		if s.title != want {
			t.Errorf("%.30q gives %q", told, s.title)
		}
	}
}

func TestManyViewersOfABusyTerminal(t *testing.T) {
	o := newOutput(32<<10, true)
	done := make(chan bool)
	for i := range 8 {
		go func() {
			r, opening := o.View(nil)
			v := view{at: opening.Offset}
			if i%2 == 0 {
				v.rest(t, r)
			}
			r.SetViewSize(Size{uint16(20 + i), 20})
			r.Lead()
			r.Close()
			done <- i%2 != 0 || v.at == o.tail
		}()
	}
	lines(o, 0, 20_000)
	o.end()
	for range 8 {
		if !<-done {
			t.Fatal("a viewer did not get to the end")
		}
	}
}
