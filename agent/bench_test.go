package main

import (
	"testing"

	"alcove.dev/agent/internal/frame"
)

// BenchmarkEcho is a round trip of the shortest command on a kept connection.
func BenchmarkEcho(b *testing.B) {
	w := start(b)
	for b.Loop() {
		if result := w.exec(object{"cmd": "/bin/echo", "args": []string{"hi"}}); result.stdout != "hi\n" {
			b.Fatalf("got %+v", result)
		}
	}
}

// BenchmarkOutput is how fast a process's output goes through.
func BenchmarkOutput(b *testing.B) {
	w := start(b)
	s := w.upgrade("process=1", object{"cmd": "cat", "args": []string{"/dev/zero"}})
	b.SetBytes(frame.OutputMax)
	for moved := 0; b.Loop(); moved = 0 {
		for moved < frame.OutputMax {
			_, payload, err := s.frames.Next()
			must(b, err)
			moved += len(payload)
		}
	}
}
