package sftp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// client speaks to a server of its own.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	id   uint32
	done chan error
}

func dial(t testing.TB) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	c := &client{t: t, conn: ours, in: bufio.NewReader(ours), done: make(chan error, 1)}
	s := newServer(theirs, "/home/dev")
	go func() {
		defer theirs.Close()
		defer s.handles.closeAll()
		c.done <- s.serve(theirs)
	}()
	t.Cleanup(func() { ours.Close() })
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func connected(t testing.TB) *client {
	t.Helper()
	c := dial(t)
	c.send(typeInit, appendNumber(nil, version))
	if kind, _ := c.receive(); kind != typeVersion {
		t.Fatalf("greeted with %d", kind)
	}
	return c
}

func (c *client) send(kind byte, body []byte) {
	c.t.Helper()
	packet := append(appendNumber(nil, uint32(len(body)+1)), kind)
	if _, err := c.conn.Write(append(packet, body...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() (byte, *fields) {
	c.t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.in, head); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-1)
	if _, err := io.ReadFull(c.in, body); err != nil {
		c.t.Fatal(err)
	}
	return head[4], &fields{rest: body}
}

// ask sends a request made of texts, numbers, longs and raw bytes, and gives its answer.
func (c *client) ask(kind byte, values ...any) (byte, *fields) {
	c.t.Helper()
	c.id++
	body := appendNumber(nil, c.id)
	for _, value := range values {
		switch value := value.(type) {
		case string:
			body = appendText(body, value)
		case int:
			body = appendNumber(body, uint32(value))
		case uint64:
			body = appendLong(body, value)
		case []byte:
			body = append(body, value...)
		}
	}
	c.send(kind, body)
	answer, f := c.receive()
	if id := f.number(); id != c.id {
		c.t.Fatalf("answer to %d, not to %d", id, c.id)
	}
	return answer, f
}

func (c *client) status(kind byte, values ...any) uint32 {
	c.t.Helper()
	answer, f := c.ask(kind, values...)
	if answer != typeStatus {
		c.t.Fatalf("request %d answered with %d", kind, answer)
	}
	return f.number()
}

func (c *client) open(path string, how int) string {
	c.t.Helper()
	answer, f := c.ask(typeOpen, path, how, 0)
	if answer != typeHandle {
		c.t.Fatalf("open %s: %d %d %s", path, answer, f.number(), f.text())
	}
	return f.text()
}

func TestARenameDoesNotReplaceAndPosixRenameDoes(t *testing.T) {
	c, dir := connected(t), t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	_ = os.WriteFile(a, []byte("a"), 0o600)
	_ = os.WriteFile(b, []byte("b"), 0o600)
	if code := c.status(typeRename, a, b); code != statusFailure {
		t.Fatalf("rename: %d", code)
	}
	if code := c.status(typeExtended, "posix-rename@openssh.com", a, b); code != statusOK {
		t.Fatalf("posix-rename: %d", code)
	}
	if text, _ := os.ReadFile(b); string(text) != "a" {
		t.Fatalf("it holds %q", text)
	}
}

func TestAttributesAreSetAndTold(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	_ = os.WriteFile(path, []byte("0123456789"), 0o600)
	if code := c.status(typeSetstat, path, hasSize|hasPermissions|hasTimes, uint64(4), 0o640, 1000, 2000); code != statusOK {
		t.Fatalf("setstat: %d", code)
	}
	_, f := c.ask(typeStat, path)
	if got := f.attributes(); got.size != 4 || got.permissions != 0o100640 || got.accessed != 1000 || got.modified != 2000 {
		t.Fatalf("got %+v", got)
	}
}

func TestALinkIsNotFollowedWhereItShouldNotBe(t *testing.T) {
	c, dir := connected(t), t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	_ = os.WriteFile(target, nil, 0o600)
	c.status(typeSymlink, target, link)
	_, f := c.ask(typeLstat, link)
	if got := f.attributes(); got.permissions&syscall.S_IFMT != syscall.S_IFLNK {
		t.Fatalf("got %o", got.permissions)
	}
	if code := c.status(typeExtended, "lsetstat@openssh.com", link, hasTimes, 5, 6); code != statusOK {
		t.Fatalf("lsetstat: %d", code)
	}
	if info, _ := os.Stat(target); info.ModTime().Unix() == 6 {
		t.Fatal("the target was changed")
	}
	if code := c.status(typeExtended, "lsetstat@openssh.com", link, hasPermissions, 0o777); code != statusUnsupported {
		t.Fatalf("a link's mode: %d", code)
	}
}

func TestHandlesThatAreClosedOrMadeUpOpenNothing(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	handle := c.open(path, openWrite|openCreate)
	if code := c.status(typeClose, handle); code != statusOK {
		t.Fatalf("close: %d", code)
	}
	again := c.open(path, openRead)
	if again == handle {
		t.Fatal("a handle was given twice")
	}
	for _, each := range []string{handle, "", "x", "\xff\xff\xff\xff", strings.Repeat("x", 1000)} {
		if code := c.status(typeRead, each, uint64(0), 10); code != statusFailure {
			t.Errorf("%q: %d", each, code)
		}
	}
}

func TestHandlesAreBoundedAndGivenBack(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	_ = os.WriteFile(path, nil, 0o600)
	before := descriptors(t)
	for range handlesMax {
		c.open(path, openRead)
	}
	if code := c.status(typeOpen, path, openRead, 0); code != statusFailure {
		t.Fatalf("one more: %d", code)
	}
	c.conn.Close()
	<-c.done
	for deadline := time.Now().Add(10 * time.Second); descriptors(t) > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, %d were", descriptors(t), before)
		}
	}
}

func descriptors(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestAPipeWithoutAWriterHoldsNothingUp(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	handle := c.open(path, openRead)
	if code := c.status(typeRead, handle, uint64(0), 10); code != statusEnd && code != statusFailure {
		t.Fatalf("read: %d", code)
	}
}

func TestACopyOntoItselfOrOfWhatHasNoEndIsRefused(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	_ = os.WriteFile(path, []byte("text"), 0o600)
	one, two := c.open(path, openRead), c.open(path, openWrite)
	if code := c.status(typeExtended, "copy-data", one, uint64(0), uint64(0), two, uint64(1)); code != statusBadMessage {
		t.Fatalf("onto itself: %d", code)
	}
	zero := c.open("/dev/zero", openRead)
	if code := c.status(typeExtended, "copy-data", zero, uint64(0), uint64(0), two, uint64(0)); code != statusBadMessage {
		t.Fatalf("without an end: %d", code)
	}
}

func TestOffsetsThatNoFileHasAreRefused(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	handle := c.open(path, openRead|openWrite|openCreate)
	if code := c.status(typeRead, handle, ^uint64(0), 10); code != statusBadMessage {
		t.Fatalf("read: %d", code)
	}
	if code := c.status(typeWrite, handle, ^uint64(0), "x"); code != statusBadMessage {
		t.Fatalf("write: %d", code)
	}
	if code := c.status(typeFsetstat, handle, hasSize, ^uint64(0)); code != statusBadMessage {
		t.Fatalf("size: %d", code)
	}
}

func TestAReadIsNeverLongerThanAPacketMayBe(t *testing.T) {
	c, path := connected(t), filepath.Join(t.TempDir(), "f")
	_ = os.WriteFile(path, make([]byte, 1<<20), 0o600)
	_, f := c.ask(typeRead, c.open(path, openRead), uint64(0), -1)
	if got := len(f.bytes()); got != dataMax {
		t.Fatalf("got %d bytes", got)
	}
}

func TestPathsWithANulAreRefused(t *testing.T) {
	c := connected(t)
	for _, kind := range []byte{typeStat, typeLstat, typeOpendir, typeRemove, typeRmdir, typeReadlink, typeRealpath} {
		if code := c.status(kind, "/etc\x00/x"); code == statusOK {
			t.Errorf("%d was taken", kind)
		}
	}
}

func TestShortPacketsGetAnAnswerAndEndNothing(t *testing.T) {
	c := connected(t)
	for kind := byte(typeOpen); kind <= typeSymlink; kind++ {
		if code := c.status(kind); code != statusBadMessage {
			t.Errorf("%d: %d", kind, code)
		}
	}
	if code := c.status(typeOpen, []byte{0xff, 0xff, 0xff, 0xff}); code != statusBadMessage {
		t.Fatalf("a length that is none: %d", code)
	}
	if code := c.status(250); code != statusUnsupported {
		t.Fatalf("unknown: %d", code)
	}
	if code := c.status(typeExtended, "nobody@example.com"); code != statusUnsupported {
		t.Fatalf("unknown extension: %d", code)
	}
	if code := c.status(typeStat, "/none"); code != statusNoFile {
		t.Fatalf("afterwards: %d", code)
	}
}

func TestPacketsThatAreTooLongOrNoneEndTheConnection(t *testing.T) {
	for _, sent := range [][]byte{{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 1}, {0, 4, 0, 1, 1}, {0, 0, 0, 5, 3, 0, 0, 0, 1}} {
		c := dial(t)
		go func() { _, _ = c.conn.Write(sent) }()
		if err := <-c.done; err == nil {
			t.Errorf("% x was taken", sent)
		}
	}
}

func TestWhatIsExpandedAndResolved(t *testing.T) {
	c := connected(t)
	for path, want := range map[string]string{"~": "/home/dev", "~/": "/home/dev", "/etc/../tmp": "/tmp"} {
		if strings.HasPrefix(path, "~") {
			if _, err := os.Stat("/home"); err != nil {
				continue
			}
		}
		answer, f := c.ask(typeExtended, "expand-path@openssh.com", path)
		if f.number(); answer != typeName && answer != typeStatus {
			t.Fatalf("%s: %d", path, answer)
		} else if got := f.text(); answer == typeName && got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestAListingNamesEverything(t *testing.T) {
	c, dir := connected(t), t.TempDir()
	for i := range 250 {
		_ = os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), nil, 0o600)
	}
	_, f := c.ask(typeOpendir, dir)
	handle, seen := f.text(), map[string]bool{}
	for {
		answer, f := c.ask(typeReaddir, handle)
		if answer == typeStatus {
			if code := f.number(); code != statusEnd {
				t.Fatalf("ended with %d", code)
			}
			break
		}
		for range f.number() {
			seen[f.text()] = true
			f.text()
			f.attributes()
		}
		if f.err != nil {
			t.Fatal(f.err)
		}
	}
	if len(seen) != 250 {
		t.Fatalf("%d names", len(seen))
	}
}

// FuzzServer gives the server whatever comes: it must end, and answer in whole packets.
func FuzzServer(f *testing.F) {
	greeting := []byte{0, 0, 0, 5, typeInit, 0, 0, 0, 3}
	f.Add(greeting)
	f.Add(append(bytes.Clone(greeting), 0, 0, 0, 9, typeOpendir, 0, 0, 0, 1, 0, 0, 0, 0))
	f.Add(append(bytes.Clone(greeting), 0, 0, 0, 13, typeClose, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1))
	// What only looks, so that no input can change this machine.
	allowed := map[byte]bool{
		typeInit: true, typeClose: true, typeRead: true, typeLstat: true, typeFstat: true, typeOpendir: true,
		typeReaddir: true, typeRealpath: true, typeStat: true, typeReadlink: true,
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		input = bytes.Clone(input)
		for rest := input; len(rest) >= 5; {
			length := uint64(binary.BigEndian.Uint32(rest))
			if !allowed[rest[4]] {
				rest[4] = typeStat
			}
			if 4+length >= uint64(len(rest)) || length == 0 {
				break
			}
			rest = rest[4+length:]
		}
		var out bytes.Buffer
		s := newServer(&out, "/")
		_ = s.serve(bytes.NewReader(input))
		s.handles.closeAll()
		for rest := out.Bytes(); len(rest) > 0; {
			if len(rest) < 5 {
				t.Fatalf("%d bytes are no packet", len(rest))
			}
			length := binary.BigEndian.Uint32(rest)
			if length == 0 || int(length)+4 > len(rest) {
				t.Fatalf("an answer of %d bytes, %d are there", length, len(rest)-4)
			}
			rest = rest[4+length:]
		}
	})
}
