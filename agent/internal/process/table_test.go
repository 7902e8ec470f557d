package process

import (
	"errors"
	"runtime"
	"testing"
)

// sought looks for what is being started, and then settles it as p.
func sought(t *testing.T, p *Process) (*Process, error) {
	t.Helper()
	table, spec := NewTable(nil, nil, nil, nil), Spec{Tag: "terminal:main"}
	if err := table.reserve(spec); err != nil {
		t.Fatal(err)
	}
	type found struct {
		p   *Process
		err error
	}
	begun, ended := make(chan struct{}), make(chan found)
	go func() {
		close(begun)
		p, err := table.Find(0, spec.Tag)
		ended <- found{p, err}
	}()
	<-begun
	runtime.Gosched()
	table.settle(spec, p)
	end := <-ended
	return end.p, end.err
}

// Which of the two comes first is up to the scheduler: often enough it is the one that looks.
const rounds = 500

func TestOneThatIsBeingStartedIsFoundWhenItRuns(t *testing.T) {
	for range rounds {
		started := &Process{}
		if p, err := sought(t, started); p != started {
			t.Fatalf("found %v: %v", p, err)
		}
	}
}

func TestOneThatCouldNotBeStartedIsNotFound(t *testing.T) {
	for range rounds {
		if p, err := sought(t, nil); !errors.Is(err, ErrNotFound) {
			t.Fatalf("found %v: %v", p, err)
		}
	}
}
