package filesystem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"alcove.dev/agent/internal/identity"
)

// Change is what happened to an entry, in envd's words.
type Change string

// The changes. Lost says that the queue was full and events are missing: look for yourself.
const (
	Created  Change = "EVENT_TYPE_CREATE"
	Written  Change = "EVENT_TYPE_WRITE"
	Removed  Change = "EVENT_TYPE_REMOVE"
	Renamed  Change = "EVENT_TYPE_RENAME"
	Modified Change = "EVENT_TYPE_CHMOD"
	Lost     Change = "EVENT_TYPE_UNSPECIFIED"
)

const (
	// directoriesMax bounds how many directories one watcher watches.
	directoriesMax = 8192
	// eventsMax bounds the queue of one watcher.
	eventsMax = 4096

	watchMask = syscall.IN_CREATE | syscall.IN_MODIFY | syscall.IN_DELETE | syscall.IN_MOVED_FROM |
		syscall.IN_MOVED_TO | syscall.IN_ATTRIB | syscall.IN_DELETE_SELF | syscall.IN_MOVE_SELF |
		syscall.IN_ONLYDIR | syscall.IN_EXCL_UNLINK
)

// Event is one change; Name is relative to the watched directory.
type Event struct {
	Name  string `json:"name"`
	Type  Change `json:"type"`
	Entry *Entry `json:"entry,omitempty"`
}

// ErrNetworkMount says that changes made elsewhere would not be seen.
var ErrNetworkMount = errors.New("is on a network file system, whose events are not reliable: allow network mounts to watch it all the same")

// ErrTooManyDirectories says that a tree is too large to be watched.
var ErrTooManyDirectories = fmt.Errorf("more than %d directories: watch a part of it", directoriesMax)

// WatchOptions say how to watch.
type WatchOptions struct {
	Recursive     bool
	NetworkMounts bool
}

// Watcher reports the changes of one directory.
type Watcher struct {
	user    identity.User
	root    string
	options WatchOptions
	file    *os.File

	mu      sync.Mutex
	paths   map[int32]string // watch descriptor → path relative to root
	queue   []Event
	hidden  uint32 // cookie of the last rename of a temporary file of ours
	wake    chan struct{}
	closed  bool
	failure error
}

// Watch starts to watch a directory with the user's rights.
func (f *Files) Watch(user identity.User, path string, options WatchOptions) (*Watcher, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	w := &Watcher{
		user: user, root: path, options: options, file: os.NewFile(uintptr(fd), "inotify"),
		paths: map[int32]string{}, wake: make(chan struct{}, 1),
	}
	err = user.Act(func() error {
		if err := watchable(path, options); err != nil {
			return err
		}
		_, err := w.add("", false)
		return err
	})
	if err != nil {
		w.file.Close()
		return nil, err
	}
	go w.run()
	return w, nil
}

func watchable(path string, options WatchOptions) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("watch %s: %w", path, ErrNotDirectory)
	}
	var system syscall.Statfs_t
	if err := syscall.Statfs(path, &system); err != nil || options.NetworkMounts {
		return err
	}
	switch uint32(system.Type) {
	case 0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546: // NFS, SMB, CIFS, SMB2, FUSE
		return fmt.Errorf("%s %w", path, ErrNetworkMount)
	}
	return nil
}

// add watches a directory and, if wanted, those below it. With report it gives an event for everything it
// finds: what was made in a new directory before we watched it. It must be called with the user's rights.
func (w *Watcher) add(relative string, report bool) (found []Event, err error) {
	path := filepath.Join(w.root, relative)
	if len(w.paths) >= directoriesMax {
		return nil, fmt.Errorf("watch %s: %w", w.root, ErrTooManyDirectories)
	}
	mask := uint32(watchMask)
	if relative != "" {
		mask |= syscall.IN_DONT_FOLLOW
	}
	wd := 0
	err = w.control(func(fd int) (err error) {
		wd, err = syscall.InotifyAddWatch(fd, path, mask)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "watch", Path: path, Err: err}
	}
	w.paths[int32(wd)] = relative
	if !w.options.Recursive {
		return nil, nil
	}
	children, err := os.ReadDir(path)
	if err != nil {
		return nil, nil // readable for watching and not for listing, or gone again
	}
	for _, child := range children {
		name := filepath.Join(relative, child.Name())
		if report {
			found = append(found, Event{Name: name, Type: Created})
		}
		if !child.IsDir() {
			continue
		}
		more, err := w.add(name, report)
		if errors.Is(err, ErrTooManyDirectories) {
			return found, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// control calls with the descriptor, which stays what it is: not blocking, and open until call returns.
func (w *Watcher) control(call func(fd int) error) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// forget stops watching a directory that was moved away, and what is below it.
func (w *Watcher) forget(relative string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wd, path := range w.paths {
		if path == relative || strings.HasPrefix(path, relative+"/") {
			_ = w.control(func(fd int) error {
				_, err := syscall.InotifyRmWatch(fd, uint32(wd))
				return err
			})
			delete(w.paths, wd)
		}
	}
}

func (w *Watcher) run() {
	buffer := make([]byte, 4096)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			w.fail(err)
			return
		}
		w.parse(buffer[:n])
	}
}

func (w *Watcher) parse(buffer []byte) {
	for len(buffer) >= syscall.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buffer))
		mask := binary.NativeEndian.Uint32(buffer[4:])
		cookie := binary.NativeEndian.Uint32(buffer[8:])
		length := int(binary.NativeEndian.Uint32(buffer[12:]))
		if len(buffer) < syscall.SizeofInotifyEvent+length {
			return
		}
		name := strings.TrimRight(string(buffer[syscall.SizeofInotifyEvent:syscall.SizeofInotifyEvent+length]), "\x00")
		buffer = buffer[syscall.SizeofInotifyEvent+length:]
		if w.ours(mask, cookie, name) {
			continue
		}
		w.happened(wd, mask, name)
		if mask&syscall.IN_MOVED_TO != 0 && cookie != 0 && cookie == w.hidden {
			// A file was written whole and put in its place; whoever watches wants to hear of a write.
			w.happened(wd, syscall.IN_MODIFY, name)
		}
	}
}

// ours hides the temporary files that uploads are written to.
func (w *Watcher) ours(mask, cookie uint32, name string) bool {
	if !strings.HasPrefix(name, temporaryPrefix) {
		return false
	}
	if mask&syscall.IN_MOVED_FROM != 0 {
		w.hidden = cookie
	}
	return true
}

func (w *Watcher) happened(wd int32, mask uint32, name string) {
	w.mu.Lock()
	directory, known := w.paths[wd]
	if mask&syscall.IN_IGNORED != 0 {
		delete(w.paths, wd)
	}
	w.mu.Unlock()
	change := changeOf(mask)
	if mask&syscall.IN_Q_OVERFLOW != 0 {
		w.push(Event{Type: Lost})
		return
	}
	if !known || change == "" {
		return
	}
	own := mask&(syscall.IN_DELETE_SELF|syscall.IN_MOVE_SELF) != 0
	if own && directory != "" {
		return // its parent tells of it
	}
	relative := filepath.Join(directory, name)
	if own {
		relative = "."
	}
	w.push(Event{Name: relative, Type: change})
	if !w.options.Recursive || mask&syscall.IN_ISDIR == 0 || own {
		return
	}
	switch change {
	case Created:
		w.enter(relative)
	case Renamed:
		w.forget(relative)
	}
}

// enter watches a directory that has appeared.
func (w *Watcher) enter(relative string) {
	var found []Event
	err := w.user.Act(func() (err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		found, err = w.add(relative, true)
		return err
	})
	for _, event := range found {
		w.push(event)
	}
	if errors.Is(err, ErrTooManyDirectories) {
		w.push(Event{Type: Lost})
	}
}

func changeOf(mask uint32) Change {
	switch {
	case mask&(syscall.IN_CREATE|syscall.IN_MOVED_TO) != 0:
		return Created
	case mask&syscall.IN_MODIFY != 0:
		return Written
	case mask&(syscall.IN_DELETE|syscall.IN_DELETE_SELF) != 0:
		return Removed
	case mask&(syscall.IN_MOVED_FROM|syscall.IN_MOVE_SELF) != 0:
		return Renamed
	case mask&syscall.IN_ATTRIB != 0:
		return Modified
	}
	return ""
}

// push queues an event. The same as the last is one; when the queue is full, the last says so.
func (w *Watcher) push(event Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.queue) - 1
	switch {
	case last >= 0 && w.queue[last] == event:
		return
	case last+1 >= eventsMax:
		w.queue[last] = Event{Type: Lost}
	default:
		w.queue = append(w.queue, event)
	}
	w.notify()
}

func (w *Watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.failure = err
	}
	w.notify()
}

// Wake has an item when Take has something to give.
func (w *Watcher) Wake() <-chan struct{} { return w.wake }

// Take empties the queue. With entries set, what is still there is described.
func (w *Watcher) Take(files *Files, entries bool) ([]Event, error) {
	w.mu.Lock()
	events, err := w.queue, w.failure
	w.queue = nil
	w.mu.Unlock()
	if !entries || len(events) == 0 {
		return events, err
	}
	_ = w.user.Act(func() error {
		names := newNames(files.Users)
		for i := range events {
			if entry, err := describe(filepath.Join(w.root, events[i].Name), names); err == nil && events[i].Type != Lost {
				events[i].Entry = &entry
			}
		}
		return nil
	})
	return events, err
}

// Close stops watching.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.file.Close()
}
