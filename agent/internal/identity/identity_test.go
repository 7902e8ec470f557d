package identity

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func directory(t *testing.T, passwd, group string) *Directory {
	t.Helper()
	d := &Directory{Passwd: filepath.Join(t.TempDir(), "passwd"), Group: filepath.Join(t.TempDir(), "group")}
	for path, text := range map[string]string{d.Passwd: passwd, d.Group: group} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const passwd = "# comment\nroot:x:0:0::/root:/bin/sh\nbroken\n1000:x:1234:1:::\ndev:x:1000:1000::/home/dev:/bin/zsh\nbad:x:x:1::/:\nall:x:4294967295:1::/:\n"

func TestAUserIsFoundByNameThenByNumber(t *testing.T) {
	d := directory(t, passwd, "a:x:5:dev,x\nb:x:6:other\nc:x:1000:dev\nd:x:7:x,dev\n")
	user, err := d.Lookup("dev")
	if err != nil || user.UID != 1000 || user.Home != "/home/dev" || user.Shell != "/bin/zsh" || !slices.Equal(user.Groups, []uint32{1000, 5, 7}) {
		t.Fatalf("%+v %v", user, err)
	}
	// A user whose name is a number comes before the user with that number.
	if user, err := d.Lookup("1000"); err != nil || user.UID != 1234 || user.Home != "/" || user.Shell != "/bin/sh" {
		t.Fatalf("%+v %v", user, err)
	}
	if user, err := d.Lookup("77"); err != nil || user.UID != 77 || user.GID != 77 {
		t.Fatalf("%+v %v", user, err)
	}
}

func TestWhoIsNotThereIsNotFound(t *testing.T) {
	d := directory(t, passwd, "")
	for _, name := range []string{"nobody-here", "bad", "all", "4294967295", "-1", "# comment"} {
		if user, err := d.Lookup(name); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("%s: %+v %v", name, user, err)
		}
	}
}

func TestAnOwnerWithoutANameIsANumber(t *testing.T) {
	d := directory(t, passwd, "g:x:5:\n")
	if owner, group := d.NameOf(1000, 6); owner != "dev" || group != "6" {
		t.Fatalf("%s %s", owner, group)
	}
}
