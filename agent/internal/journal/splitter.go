package journal

import (
	"bytes"
	"strings"
	"time"
)

// progressEvery is how often a line that a program keeps overwriting (with a carriage return) is kept.
const progressEvery = 250 * time.Millisecond

// Splitter makes lines of what a program writes.
type Splitter struct {
	journal  *Journal
	source   string
	rest     []byte
	progress time.Time
	last     string
}

// Splitter makes one for a source.
func (j *Journal) Splitter(source string) *Splitter { return &Splitter{journal: j, source: source} }

// Write takes a piece of output. It never fails.
func (s *Splitter) Write(data []byte) (int, error) {
	s.rest = append(s.rest, data...)
	for {
		end := bytes.IndexAny(s.rest, "\r\n")
		if end < 0 {
			if len(s.rest) > LineMax {
				s.add(string(s.rest))
				s.rest = s.rest[:0]
			}
			return len(data), nil
		}
		if s.rest[end] == '\r' && end+1 == len(s.rest) {
			return len(data), nil // the next byte says whether this is an end of line
		}
		text := string(s.rest[:end])
		overwritten := s.rest[end] == '\r' && s.rest[end+1] != '\n'
		skip := end + 1
		if s.rest[end] == '\r' && !overwritten {
			skip++
		}
		s.rest = s.rest[:copy(s.rest, s.rest[skip:])]
		if overwritten && time.Since(s.progress) < progressEvery {
			continue
		}
		if overwritten {
			s.progress = time.Now()
		}
		s.add(text)
	}
}

// Close adds what is left without an end of line.
func (s *Splitter) Close() {
	if text := strings.TrimRight(string(s.rest), "\r"); text != "" {
		s.add(text)
	}
	s.rest = nil
}

// Last is the last line that was not empty: what a program that fails usually said why in.
func (s *Splitter) Last() string { return s.last }

func (s *Splitter) add(text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.TrimSpace(text) != "" {
		s.last = text
	}
	s.journal.Add(s.source, text)
}
