// Package filesystem does what is asked of files, with the rights of the user it is asked for.
//
// Its one rule: every path is opened, changed and removed inside identity.User.Act, so that the kernel
// decides; what is streamed afterwards goes through the descriptor that was opened there.
package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"alcove.dev/agent/internal/identity"
)

// Kind is what an entry is, in envd's words.
type Kind string

// The kinds of entries.
const (
	KindFile      Kind = "FILE_TYPE_FILE"
	KindDirectory Kind = "FILE_TYPE_DIRECTORY"
	KindSymlink   Kind = "FILE_TYPE_SYMLINK"
	KindOther     Kind = "FILE_TYPE_UNSPECIFIED"
)

// Entry is one file or directory, in the JSON form of filesystem.EntryInfo.
type Entry struct {
	Name          string            `json:"name"`
	Type          Kind              `json:"type"`
	Path          string            `json:"path"`
	Size          string            `json:"size"` // protobuf's JSON has int64 as a string
	Mode          uint32            `json:"mode"`
	Permissions   string            `json:"permissions"`
	Owner         string            `json:"owner"`
	Group         string            `json:"group"`
	ModifiedTime  string            `json:"modifiedTime"`
	SymlinkTarget string            `json:"symlinkTarget,omitempty"`
	IsSymlink     bool              `json:"isSymlink,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// names remembers the names of owners and groups during one request.
type names struct {
	users *identity.Directory
	known map[[2]uint32][2]string
}

func newNames(users *identity.Directory) *names {
	return &names{users: users, known: map[[2]uint32][2]string{}}
}

func (n *names) of(uid, gid uint32) (owner, group string) {
	key := [2]uint32{uid, gid}
	if pair, found := n.known[key]; found {
		return pair[0], pair[1]
	}
	owner, group = n.users.NameOf(uid, gid)
	n.known[key] = [2]string{owner, group}
	return owner, group
}

// describe makes the Entry of path. It must be called with the user's rights.
func describe(path string, names *names) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	mode := info.Mode()
	entry := Entry{
		Name: filepath.Base(path), Path: path, Type: kindOf(mode), Size: strconv.FormatInt(info.Size(), 10),
		Mode: uint32(mode.Perm()), Permissions: mode.String(),
		ModifiedTime: info.ModTime().UTC().Format(time.RFC3339Nano),
	}
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		entry.Owner, entry.Group = names.of(system.Uid, system.Gid)
	}
	if mode&fs.ModeSymlink != 0 {
		entry.IsSymlink = true
		entry.Type, entry.SymlinkTarget = target(path)
	} else {
		entry.Metadata = readMetadata(path)
	}
	return entry, nil
}

func target(path string) (Kind, string) {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		if info, err := os.Stat(resolved); err == nil {
			return kindOf(info.Mode()), resolved
		}
	}
	text, _ := os.Readlink(path)
	return KindSymlink, text
}

func kindOf(mode fs.FileMode) Kind {
	switch {
	case mode.IsRegular():
		return KindFile
	case mode.IsDir():
		return KindDirectory
	case mode&fs.ModeSymlink != 0:
		return KindSymlink
	}
	return KindOther
}

const (
	metadataPrefix   = "user.e2b."
	metadataBytesMax = 64 << 10
)

// readMetadata gives what was stored with the file, or nil.
func readMetadata(path string) map[string]string {
	// Most files have none: ask for the size before making room.
	size, err := syscall.Listxattr(path, nil)
	if err != nil || size == 0 || size > metadataBytesMax {
		return nil
	}
	list := make([]byte, size)
	n, err := syscall.Listxattr(path, list)
	if err != nil {
		return nil
	}
	var metadata map[string]string
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		key, ours := strings.CutPrefix(name, metadataPrefix)
		if !ours {
			continue
		}
		value := make([]byte, metadataBytesMax)
		n, err := syscall.Getxattr(path, name, value)
		if err != nil {
			continue
		}
		if metadata == nil {
			metadata = map[string]string{}
		}
		metadata[key] = string(value[:n])
	}
	return metadata
}

// ErrNoMetadata says that the file system of the target keeps no extended attributes.
var ErrNoMetadata = errors.New("this file system does not store metadata (extended attributes)")
