package frame

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestWhatIsAppendedIsReadAndSplit(t *testing.T) {
	sent := Append(Append(nil, Stdout, []byte("one")), Exit, nil)
	reader := NewReader(bytes.NewReader(sent))
	for _, want := range []struct {
		kind    Type
		payload string
	}{{Stdout, "one"}, {Exit, ""}} {
		kind, payload, err := reader.Next()
		if err != nil || kind != want.kind || string(payload) != want.payload {
			t.Fatalf("read %d %q %v", kind, payload, err)
		}
		kind, payload, rest, ok := Split(sent)
		if !ok || kind != want.kind || string(payload) != want.payload {
			t.Fatalf("split %d %q", kind, payload)
		}
		sent = rest
	}
	if _, _, err := reader.Next(); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}

func TestALengthThatIsNotAllowedIsRefusedBeforeAnythingIsRead(t *testing.T) {
	_, _, err := NewReader(bytes.NewReader([]byte{0, 0, 16, 0, 1})).Next()
	if !errors.Is(err, ErrTooLong) {
		t.Fatalf("got %v", err)
	}
}

func TestAPromisedLengthTakesNoMemoryUntilItComes(t *testing.T) {
	reader := NewReader(bytes.NewReader([]byte{0, 0, 16, 0, 0, 'x'}))
	if _, _, err := reader.Next(); err != io.ErrUnexpectedEOF {
		t.Fatalf("got %v", err)
	}
	if cap(reader.buffer) > 128<<10 {
		t.Fatalf("%d bytes were made for one", cap(reader.buffer))
	}
}

func FuzzReader(f *testing.F) {
	f.Add(Append(Append(nil, Stdin, []byte("abc")), Signal, []byte(`{"signal":"TERM"}`)))
	f.Add([]byte{0, 0, 0, 0, 5, 1, 2})
	f.Add([]byte{9, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		reader := NewReader(bytes.NewReader(data))
		var again []byte
		for {
			kind, payload, err := reader.Next()
			if err != nil {
				break
			}
			again = Append(again, kind, payload)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("%x was read as %x", data, again)
		}
	})
}
