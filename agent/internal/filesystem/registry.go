package filesystem

import (
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

const (
	// WatchersMax bounds the watchers of a workspace, streamed and polled ones together.
	WatchersMax = 64
	// forgottenAfter is when a watcher that nobody asked may make room for another.
	forgottenAfter = 10 * time.Minute
)

// ErrTooManyWatchers says that some must be removed first.
var ErrTooManyWatchers = fmt.Errorf("%d watchers are there; remove some first", WatchersMax)

// Polled is a watcher that a client asks for news.
type Polled struct {
	*Watcher
	Entries bool
	asked   time.Time
}

// Registry holds the watchers that clients poll, and counts the streamed ones.
type Registry struct {
	mu       sync.Mutex
	polled   map[string]*Polled
	streamed int
}

// NewRegistry makes an empty Registry.
func NewRegistry() *Registry { return &Registry{polled: map[string]*Polled{}} }

// Enter counts a streamed watcher; the answer is called when it ends.
func (r *Registry) Enter() (leave func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.makeRoom(); err != nil {
		return nil, err
	}
	r.streamed++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.streamed--
	}, nil
}

// Add keeps a watcher and gives it an id. It closes the watcher when there is no room.
func (r *Registry) Add(w *Watcher, entries bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.makeRoom(); err != nil {
		w.Close()
		return "", err
	}
	id := rand.Text()
	r.polled[id] = &Polled{Watcher: w, Entries: entries, asked: time.Now()}
	return id, nil
}

func (r *Registry) makeRoom() error {
	if len(r.polled)+r.streamed < WatchersMax {
		return nil
	}
	for id, w := range r.polled {
		if time.Since(w.asked) > forgottenAfter {
			w.Close()
			delete(r.polled, id)
			return nil
		}
	}
	return ErrTooManyWatchers
}

// Get gives a watcher by its id.
func (r *Registry) Get(id string) (*Polled, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, found := r.polled[id]
	if found {
		w.asked = time.Now()
	}
	return w, found
}

// Remove closes a watcher and says whether it was there.
func (r *Registry) Remove(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, found := r.polled[id]
	if found {
		w.Close()
		delete(r.polled, id)
	}
	return found
}
