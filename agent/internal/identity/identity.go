// Package identity turns the name of a user into credentials, and does work with a user's rights.
//
// Its one rule: whatever is asked for in a user's name is checked by the kernel as that user. Nothing here
// (and nothing that uses it) decides for itself whether a user may reach a file.
package identity

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"alcove.dev/agent/internal/threads"
)

// ErrUnknownUser says that the image has no such user.
var ErrUnknownUser = errors.New("unknown user")

// ErrRootRefused says that root was asked for in a workspace that has none.
var ErrRootRefused = errors.New("root is not available: this workspace was made with root: none")

const (
	databaseBytesMax = 1 << 20
	groupsMax        = 64
)

// User is who a process or a file operation runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32
	Home   string
	Shell  string
}

// Directory looks users up in an image's own files.
type Directory struct {
	Passwd string
	Group  string
	// RootAllowed is false where the template said root: none.
	RootAllowed bool

	mu sync.Mutex
	// fallback is used when no name is given; if that is empty too, whoever the agent runs as.
	fallback string
}

// SetDefault says who is meant when no name is given. A user who may not be used is refused.
func (d *Directory) SetDefault(name string) error {
	if _, err := d.Lookup(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fallback = name
	return nil
}

// Default is the name that is meant when none is given.
func (d *Directory) Default() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fallback
}

// Lookup finds a user by name or by number; "" is the default user.
//
// The files are read each time: they are small, and with contained root they change under us.
func (d *Directory) Lookup(name string) (User, error) {
	if name == "" {
		name = d.Default()
	}
	if name == "" {
		name = strconv.Itoa(os.Getuid())
	}
	threads.Enter()
	defer threads.Leave()
	user, err := d.find(name)
	if err != nil {
		return User{}, err
	}
	if user.UID == 0 && !d.RootAllowed && os.Getuid() == 0 {
		return User{}, ErrRootRefused
	}
	user.Groups = d.groupsOf(user)
	return user, nil
}

func (d *Directory) find(name string) (User, error) {
	var found *User
	number, numeric := parseID(name)
	err := eachLine(d.Passwd, func(fields []string) bool {
		if len(fields) < 7 {
			return true
		}
		uid, okUID := parseID(fields[2])
		gid, okGID := parseID(fields[3])
		if !okUID || !okGID {
			return true
		}
		if fields[0] == name || (numeric && uid == number && found == nil) {
			found = &User{Name: fields[0], UID: uid, GID: gid, Home: fields[5], Shell: fields[6]}
		}
		return found == nil || found.Name != name
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return User{}, fmt.Errorf("look up user %q: %w", name, err)
	}
	switch {
	case found != nil:
		if found.Home == "" {
			found.Home = "/"
		}
		if found.Shell == "" {
			found.Shell = "/bin/sh"
		}
		return *found, nil
	case numeric:
		// An image may say `User: 1000` and have no such line; the number is all there is.
		return User{Name: name, UID: number, GID: number, Home: "/", Shell: "/bin/sh"}, nil
	}
	return User{}, fmt.Errorf("%w: %q is not in %s", ErrUnknownUser, name, d.Passwd)
}

func (d *Directory) groupsOf(user User) []uint32 {
	groups := []uint32{user.GID}
	_ = eachLine(d.Group, func(fields []string) bool {
		if len(fields) < 4 {
			return true
		}
		gid, ok := parseID(fields[2])
		if !ok || gid == user.GID {
			return true
		}
		for member := range strings.SplitSeq(fields[3], ",") {
			if member == user.Name {
				groups = append(groups, gid)
			}
		}
		return len(groups) < groupsMax
	})
	return groups
}

// NameOf gives the names of an owner and a group, or their numbers where there is no name.
func (d *Directory) NameOf(uid, gid uint32) (owner, group string) {
	return nameIn(d.Passwd, uid), nameIn(d.Group, gid)
}

func nameIn(path string, id uint32) string {
	name := strconv.FormatUint(uint64(id), 10)
	_ = eachLine(path, func(fields []string) bool {
		if len(fields) < 3 {
			return true
		}
		if number, ok := parseID(fields[2]); ok && number == id {
			name = fields[0]
			return false
		}
		return true
	})
	return name
}

func parseID(text string) (uint32, bool) {
	number, err := strconv.ParseUint(text, 10, 32)
	// The largest number means "no change" to the kernel and must never name a user.
	if err != nil || number == 1<<32-1 {
		return 0, false
	}
	return uint32(number), true
}

func eachLine(path string, visit func(fields []string) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := bufio.NewScanner(io.LimitReader(file, databaseBytesMax))
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if !visit(strings.Split(line, ":")) {
			break
		}
	}
	return scanner.Err()
}
