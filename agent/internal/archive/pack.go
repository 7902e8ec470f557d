package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"syscall"
	"time"
)

// Source is a file or directory that is going to be packed.
type Source struct {
	directory int // of the file, or the directory itself
	name      string
	whole     bool
}

// Open finds what is to be packed. It must be called with the user's rights.
func Open(name string) (*Source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	whole := info.IsDir()
	directory := name
	if !whole {
		directory = path.Dir(name)
	}
	fd, err := syscall.Open(directory, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: directory, Err: err}
	}
	return &Source{directory: fd, name: path.Base(name), whole: whole}, nil
}

// Close gives it back.
func (s *Source) Close() { syscall.Close(s.directory) }

// Pack writes the archive: the entries of a directory under their names in it, or the one file. Links are
// packed as links, special files are left out. It must be called with the user's rights, on one thread.
func (s *Source) Pack(target io.Writer) error {
	p := &packing{writer: tar.NewWriter(target), buffer: make([]byte, 128<<10)}
	var err error
	if s.whole {
		err = p.tree(s.directory, "", 0)
	} else {
		err = p.entry(s.directory, s.name, s.name, 0)
	}
	if err != nil {
		return err
	}
	return p.writer.Close()
}

type packing struct {
	writer *tar.Writer
	buffer []byte
}

func (p *packing) tree(directory int, prefix string, depth int) error {
	if depth > depthMax {
		return fmt.Errorf("%s: deeper than %d directories", prefix, depthMax)
	}
	copied, err := syscall.Openat(directory, ".", oTree, 0)
	if err != nil {
		return err
	}
	listing := os.NewFile(uintptr(copied), ".")
	names, err := listing.Readdirnames(-1)
	listing.Close()
	if err != nil {
		return fmt.Errorf("list %s: %w", prefix, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.entry(directory, name, path.Join(prefix, name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (p *packing) entry(directory int, name, full string, depth int) error {
	seen, err := look(directory, name)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", full, err)
	}
	defer seen.close()
	header := &tar.Header{
		Name: full, Mode: int64(seen.stat.Mode & 0o7777), Uid: int(seen.stat.Uid), Gid: int(seen.stat.Gid),
		ModTime: time.Unix(seen.stat.Mtim.Unix()), Format: tar.FormatPAX,
	}
	switch seen.kind() {
	case syscall.S_IFREG:
		err = p.file(seen, directory, name, header)
	case syscall.S_IFDIR:
		err = p.directory(directory, name, header, depth)
	case syscall.S_IFLNK:
		header.Typeflag = tar.TypeSymlink
		if header.Linkname, err = seen.readlink(); err == nil {
			err = p.writer.WriteHeader(header)
		}
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", full, err)
	}
	return nil
}

func (p *packing) directory(directory int, name string, header *tar.Header, depth int) error {
	header.Typeflag = tar.TypeDir
	full := header.Name
	header.Name += "/"
	if err := p.writer.WriteHeader(header); err != nil {
		return err
	}
	fd, err := enter(directory, name)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return p.tree(fd, full, depth+1)
}

func (p *packing) file(seen *node, directory int, name string, header *tar.Header) error {
	file, err := seen.open(directory, name, syscall.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	header.Typeflag, header.Size = tar.TypeReg, seen.stat.Size
	if err := p.writer.WriteHeader(header); err != nil {
		return err
	}
	// Exactly as many bytes as were promised: the file may grow or shrink meanwhile.
	_, err = io.CopyBuffer(struct{ io.Writer }{p.writer}, struct{ io.Reader }{io.LimitReader(file, header.Size)}, p.buffer)
	return err
}
