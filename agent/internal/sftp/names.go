package sftp

import (
	"fmt"
	"strconv"
	"syscall"
	"time"

	"alcove.dev/agent/internal/identity"
)

// rememberedMax bounds how many names are remembered.
const rememberedMax = 4096

// names remembers who the owners of files are.
type names struct{ users, groups map[uint32]string }

var database = identity.Directory{Passwd: "/etc/passwd", Group: "/etc/group", RootAllowed: true}

func (n *names) of(uid, gid uint32) (owner, group string) {
	owner, known := n.users[uid]
	group, both := n.groups[gid]
	if known && both {
		return owner, group
	}
	owner, group = database.NameOf(uid, gid)
	if len(n.users)+len(n.groups) < rememberedMax {
		n.users[uid], n.groups[gid] = owner, group
	}
	return owner, group
}

// line is how `ls -l` shows a file.
func (n *names) line(name string, info *syscall.Stat_t) string {
	owner, group := n.of(info.Uid, info.Gid)
	at := time.Unix(int64(info.Mtim.Sec), 0)
	form := "Jan _2 15:04"
	if age := time.Since(at); age > 182*24*time.Hour || age < -time.Hour {
		form = "Jan _2  2006"
	}
	return fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s",
		modeText(info.Mode), info.Nlink, owner, group, info.Size, at.Format(form), name)
}

func modeText(mode uint32) string {
	text := []byte("?rwxrwxrwx")
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		text[0] = '-'
	case syscall.S_IFDIR:
		text[0] = 'd'
	case syscall.S_IFLNK:
		text[0] = 'l'
	case syscall.S_IFIFO:
		text[0] = 'p'
	case syscall.S_IFSOCK:
		text[0] = 's'
	case syscall.S_IFCHR:
		text[0] = 'c'
	case syscall.S_IFBLK:
		text[0] = 'b'
	}
	for i := range 9 {
		if mode&(1<<(8-i)) == 0 {
			text[1+i] = '-'
		}
	}
	special(text, 3, mode&syscall.S_ISUID != 0, 's')
	special(text, 6, mode&syscall.S_ISGID != 0, 's')
	special(text, 9, mode&syscall.S_ISVTX != 0, 't')
	return string(text)
}

func special(text []byte, at int, is bool, letter byte) {
	switch {
	case !is:
	case text[at] == 'x':
		text[at] = letter
	default:
		text[at] = letter - 'a' + 'A'
	}
}

// known gives the name of an id, or nothing where it has none.
func known(name string, id uint32) string {
	if name == strconv.FormatUint(uint64(id), 10) {
		return ""
	}
	return name
}
