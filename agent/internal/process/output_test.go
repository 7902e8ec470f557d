package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"alcove.dev/agent/internal/frame"
)

func all(t *testing.T, r *Reader) []byte {
	t.Helper()
	var got []byte
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	for {
		n, err := r.Next(context.Background(), buffer)
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		for rest := buffer[:n]; ; {
			_, payload, next, ok := frame.Split(rest)
			if !ok {
				break
			}
			got = append(got, payload...)
			rest = next
		}
	}
}

func TestEveryReaderGetsEverythingInOrder(t *testing.T) {
	o := newOutput(pipeRingMax, false)
	readers := []*Reader{o.Read(false), o.Read(false)}
	var sent bytes.Buffer
	go func() {
		for i := range 1000 {
			piece := bytes.Repeat([]byte{byte(i)}, 1+i*37%frame.OutputMax)
			sent.Write(piece)
			o.write(frame.Stdout, piece)
		}
		o.end()
	}()
	results := make(chan []byte, 2)
	for _, r := range readers {
		go func() { results <- all(t, r) }()
	}
	for range readers {
		if got := <-results; !bytes.Equal(got, sent.Bytes()) {
			t.Fatalf("got %d bytes of %d", len(got), sent.Len())
		}
	}
}

func TestWithoutReadersTheNewestIsKeptForWhoAsks(t *testing.T) {
	o := newOutput(terminalRingMax, true)
	for i := range 1000 {
		o.write(frame.Stdout, bytes.Repeat([]byte{byte(i)}, 1000))
	}
	replay, fresh := o.Read(true), o.Read(false)
	o.end()
	got := all(t, replay)
	if len(got) < terminalRingMax-3000 || len(got) > terminalRingMax || got[len(got)-1] != byte(999%256) {
		t.Fatalf("%d bytes are kept", len(got))
	}
	if got := all(t, fresh); len(got) != 0 {
		t.Fatalf("who did not ask got %d bytes", len(got))
	}
}

func TestAReaderThatLeavesLetsTheWriterGoOn(t *testing.T) {
	o := newOutput(pipeRingMax, false)
	r := o.Read(false)
	written := make(chan struct{})
	go func() {
		for range 100 {
			o.write(frame.Stdout, make([]byte, frame.OutputMax))
		}
		close(written)
	}()
	buffer := make([]byte, frame.HeaderSize+frame.OutputMax)
	if _, err := r.Next(context.Background(), buffer); err != nil {
		t.Fatal(err)
	}
	select {
	case <-written:
		t.Fatal("the writer was not held up")
	default:
	}
	r.Close()
	<-written
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	r := newOutput(pipeRingMax, false).Read(false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Next(ctx, make([]byte, 64)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
