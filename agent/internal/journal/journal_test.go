package journal

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestTheRingKeepsTheNewestWithinItsBound(t *testing.T) {
	j := New()
	line := strings.Repeat("x", 1000)
	for range 5000 {
		j.Add("s", line)
	}
	lines, _ := j.From(0, 1<<20)
	if size := len(lines) * (1000 + lineCost); size > BytesMax || size < BytesMax-2*(1000+lineCost) {
		t.Fatalf("%d bytes are kept", size)
	}
	if last := lines[len(lines)-1].Offset; last != 4999 {
		t.Fatalf("the last is %d", last)
	}
}

func TestALongLineIsCut(t *testing.T) {
	j := New()
	j.Add("s", strings.Repeat("x", LineMax+1))
	if lines, _ := j.From(0, 10); len(lines) != 2 || len(lines[1].Text) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
}

func TestWhoFollowsGetsWhatComesLater(t *testing.T) {
	j := New()
	j.Add("s", "before")
	enough := errors.New("enough")
	var seen []string
	err := j.Follow(context.Background(), 0, func(lines []Line) error {
		for _, line := range lines {
			seen = append(seen, line.Text)
		}
		if len(seen) == 2 {
			return enough
		}
		go j.Add("s", "after")
		return nil
	})
	if err != enough || strings.Join(seen, " ") != "before after" {
		t.Fatalf("%v %v", seen, err)
	}
}

func TestOutputBecomesLinesHoweverItIsCut(t *testing.T) {
	j := New()
	s := j.Splitter("s")
	for _, piece := range []string{"a", "b\nc\r", "\nd\r\n\xff\n", "", "rest"} {
		_, _ = s.Write([]byte(piece))
	}
	s.Close()
	lines, _ := j.From(0, 10)
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.Text)
	}
	if strings.Join(texts, "|") != "ab|c|d|\uFFFD|rest" || s.Last() != "rest" {
		t.Fatalf("%q", texts)
	}
}
