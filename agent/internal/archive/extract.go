package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// What one archive may have.
const (
	EntriesMax = 200_000
	BytesMax   = 64 << 30
	depthMax   = 64
	nameMax    = 4096
)

// Refused says that an archive asks for what is not allowed, and for which entry.
type Refused struct {
	Entry  string
	Number int
	Err    error
}

func (e *Refused) Error() string {
	return fmt.Sprintf("entry %d %q of the archive: %v", e.Number, e.Entry, e.Err)
}
func (e *Refused) Unwrap() error { return e.Err }

// Reasons to refuse an entry.
var (
	ErrAbsolute = errors.New("absolute names are not allowed")
	ErrEscapes  = errors.New("it leads out of the destination")
	ErrKind     = errors.New("devices, pipes and other special files are not allowed")
	ErrTooLong  = fmt.Errorf("the name is longer than %d bytes or deeper than %d directories", nameMax, depthMax)
	ErrTooMany  = fmt.Errorf("more than %d entries", EntriesMax)
	ErrTooBig   = fmt.Errorf("more than %d bytes when unpacked", int64(BytesMax))
	ErrNUL      = errors.New("a name cannot contain a NUL character")
)

// Summary is what was unpacked.
type Summary struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// extraction is one archive on its way into one directory.
type extraction struct {
	root    int
	summary Summary
	modes   []mode // of directories, set at the end so that a read-only one can be filled first
	// parent is the directory of the last entry; archives have entries of a directory together.
	parent     int
	parentName string
	buffer     []byte
}

type mode struct {
	name string
	bits uint32
}

// Extract unpacks an archive into a directory, which is made if it is not there. It must be called with the
// user's rights, on one thread. On an error, what was unpacked before it stays.
func Extract(source io.Reader, destination string) (Summary, error) {
	if err := os.MkdirAll(destination, 0o755); err != nil {
		return Summary{}, err
	}
	// The destination itself may be reached through links: the caller named it, the archive did not.
	root, err := syscall.Open(destination, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return Summary{}, &os.PathError{Op: "open", Path: destination, Err: err}
	}
	x := &extraction{root: root, parent: -1, buffer: make([]byte, 128<<10)}
	defer x.close()
	err = x.all(tar.NewReader(source))
	if err == nil {
		err = x.finish()
	}
	return x.summary, err
}

func (x *extraction) close() {
	x.leave()
	syscall.Close(x.root)
}

func (x *extraction) all(reader *tar.Reader) error {
	for number := 1; ; number++ {
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &Refused{Number: number, Err: fmt.Errorf("the archive is damaged: %w", err)}
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := x.entry(reader, header, number); err != nil {
			return &Refused{Entry: printable(header.Name), Number: number, Err: err}
		}
	}
}

func printable(name string) string { return strings.ToValidUTF8(name[:min(len(name), 200)], "?") }

func (x *extraction) entry(reader io.Reader, header *tar.Header, number int) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if number > EntriesMax {
		return ErrTooMany
	}
	name, err := clean(header.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil // the destination has the mode that it has
	}
	directory, err := x.parentOf(name)
	if err != nil {
		return err
	}
	x.summary.Entries++
	switch header.Typeflag {
	case tar.TypeDir:
		return x.directory(directory, name, header)
	case tar.TypeReg, tar.TypeGNUSparse:
		return x.file(reader, directory, path.Base(name), header)
	case tar.TypeSymlink:
		return x.symlink(directory, name, header.Linkname)
	case tar.TypeLink:
		return x.link(directory, path.Base(name), header.Linkname)
	}
	return ErrKind
}

// clean gives the name that an entry has below the destination.
func clean(name string) (string, error) {
	switch {
	case strings.ContainsRune(name, 0):
		return "", ErrNUL
	case len(name) > nameMax || strings.Count(name, "/") > depthMax:
		return "", ErrTooLong
	case strings.HasPrefix(name, "/"):
		return "", ErrAbsolute
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", ErrEscapes
		}
	}
	cleaned := path.Clean(name)
	if !filepath.IsLocal(cleaned) {
		return "", ErrEscapes
	}
	return cleaned, nil
}

// parentOf opens the directory that an entry belongs in, making what is missing.
func (x *extraction) parentOf(name string) (int, error) {
	parent := path.Dir(name)
	if parent == "." {
		return x.root, nil
	}
	if x.parent >= 0 && parent == x.parentName {
		return x.parent, nil
	}
	fd, err := x.walk(parent, true)
	if err != nil {
		return -1, err
	}
	x.leave()
	x.parent, x.parentName = fd, parent
	return fd, nil
}

func (x *extraction) leave() {
	if x.parent >= 0 {
		syscall.Close(x.parent)
		x.parent = -1
	}
}

// walk opens a directory below the destination, name by name. The caller closes it.
func (x *extraction) walk(name string, create bool) (int, error) {
	current := x.root
	for part := range strings.SplitSeq(name, "/") {
		if create {
			if err := syscall.Mkdirat(current, part, 0o755); err != nil && err != syscall.EEXIST {
				x.closeUnlessRoot(current)
				return -1, err
			}
		}
		next, err := enter(current, part)
		x.closeUnlessRoot(current)
		if err != nil {
			return -1, err
		}
		current = next
	}
	return current, nil
}

func (x *extraction) closeUnlessRoot(fd int) {
	if fd != x.root {
		syscall.Close(fd)
	}
}

func (x *extraction) directory(directory int, name string, header *tar.Header) error {
	base := path.Base(name)
	if err := syscall.Mkdirat(directory, base, 0o755); err != nil && err != syscall.EEXIST {
		return err
	}
	fd, err := enter(directory, base)
	if err != nil {
		return err
	}
	syscall.Close(fd)
	x.modes = append(x.modes, mode{name, uint32(header.Mode) & 0o777})
	return nil
}

func (x *extraction) file(reader io.Reader, directory int, base string, header *tar.Header) error {
	if err := makeWay(directory, base); err != nil {
		return err
	}
	flags := syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	fd, err := syscall.Openat(directory, base, flags, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), base)
	err = x.copy(file, reader)
	if err == nil {
		// Neither setuid nor setgid: an archive gives nobody's rights away.
		err = syscall.Fchmod(fd, uint32(header.Mode)&0o777)
	}
	if err == nil && !header.ModTime.IsZero() {
		err = setTime(fd, syscall.NsecToTimespec(header.ModTime.UnixNano()))
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func (x *extraction) copy(file *os.File, reader io.Reader) error {
	for {
		n, err := reader.Read(x.buffer)
		x.summary.Bytes += int64(n)
		if x.summary.Bytes > BytesMax {
			return ErrTooBig
		}
		if n > 0 {
			if _, err := file.Write(x.buffer[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// makeWay removes a file or link of the same name, as tar does. A directory stays, and the entry fails.
func makeWay(directory int, base string) error {
	err := syscall.Unlinkat(directory, base)
	if err == syscall.ENOENT {
		return nil
	}
	return err
}

// symlink makes a link, if what it says stays below the destination.
func (x *extraction) symlink(directory int, name, target string) error {
	switch {
	case target == "" || strings.ContainsRune(target, 0):
		return ErrNUL
	case len(target) > nameMax:
		return ErrTooLong
	case path.IsAbs(target):
		return fmt.Errorf("link to %q: %w", printable(target), ErrEscapes)
	}
	if !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return fmt.Errorf("link to %q: %w", printable(target), ErrEscapes)
	}
	base := path.Base(name)
	if err := makeWay(directory, base); err != nil {
		return err
	}
	return symlinkat(target, directory, base)
}

// link makes a hard link to a regular file that is below the destination.
func (x *extraction) link(directory int, base, target string) error {
	name, err := clean(target)
	if err != nil {
		return fmt.Errorf("link to %q: %w", printable(target), err)
	}
	from := x.root
	if parent := path.Dir(name); parent != "." {
		if from, err = x.walk(parent, false); err != nil {
			return fmt.Errorf("link to %q: %w", printable(target), err)
		}
		defer syscall.Close(from)
	}
	seen, err := look(from, path.Base(name))
	if err != nil {
		return fmt.Errorf("link to %q: %w", printable(target), err)
	}
	defer seen.close()
	if seen.kind() != syscall.S_IFREG {
		return fmt.Errorf("link to %q: %w", printable(target), ErrKind)
	}
	if err := makeWay(directory, base); err != nil {
		return err
	}
	return linkat(from, path.Base(name), directory, base)
}

func (x *extraction) finish() error {
	for i := len(x.modes) - 1; i >= 0; i-- {
		fd, err := x.walk(x.modes[i].name, false)
		if err == nil {
			err = syscall.Fchmod(fd, x.modes[i].bits)
			syscall.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("set the mode of %q: %w", printable(x.modes[i].name), err)
		}
	}
	return nil
}
