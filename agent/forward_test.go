package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// told is one line of a listener.
type told struct {
	Port           int
	Path           string
	Accepted, Peer string
}

func (w *workspace) listenOn(query string) (*session, told) {
	w.t.Helper()
	s := w.upgrade(query, nil)
	if s.status != 101 {
		w.t.Fatalf("%s: %d %s", query, s.status, s.body)
	}
	return s, s.line(w.t)
}

func (s *session) line(t testing.TB) (found told) {
	t.Helper()
	text, err := s.buffered.ReadBytes('\n')
	must(t, err)
	must(t, json.Unmarshal(text, &found))
	return found
}

func asking(address, family string) object {
	script := fmt.Sprintf("import socket; s = socket.socket(socket.%s); s.connect(%s); s.sendall(b'hello'); s.shutdown(1); print(s.makefile().read())", family, address)
	return object{"cmd": "python3", "args": []string{"-c", script}}
}

func TestAListenerTellsOfConnectionsAndGivesThemAway(t *testing.T) {
	w := start(t)
	w.loopback()
	s, at := w.listenOn("listen=tcp&port=0")
	asked := w.upgrade("process=1", asking(fmt.Sprintf("('127.0.0.1', %d)", at.Port), "AF_INET"))
	one := s.line(t)
	if !strings.HasPrefix(one.Peer, "127.0.0.1:") {
		t.Fatalf("from %q", one.Peer)
	}
	taken := w.upgrade("accepted="+one.Accepted, nil)
	got, err := io.ReadAll(taken.buffered)
	must(t, err)
	if string(got) != "hello" {
		t.Fatalf("got %q", got)
	}
	_, err = taken.Write([]byte("answer"))
	must(t, err)
	must(t, taken.CloseWrite())
	if said := asked.until(t, ended); said.stdout != "answer\n" {
		t.Fatalf("got %+v", said)
	}
	if again := w.upgrade("accepted="+one.Accepted, nil); again.status != 404 {
		t.Fatalf("taken twice: %d", again.status)
	}
}

func TestAListenerEndsWithItsClient(t *testing.T) {
	w := start(t)
	w.loopback()
	s, at := w.listenOn("listen=tcp&port=0")
	if taken := w.upgrade(fmt.Sprintf("listen=tcp&port=%d", at.Port), nil); taken.status != 409 {
		t.Fatalf("taken twice: %d %s", taken.status, taken.body)
	}
	s.Close()
	eventually(t, "the port is free", func() bool {
		next := w.upgrade(fmt.Sprintf("listen=tcp&port=%d", at.Port), nil)
		defer next.Close()
		return next.status == 101
	})
}

func TestASocketThatListensIsTheUsersAloneAndGoesWithItsClient(t *testing.T) {
	w := start(t)
	path := filepath.Join(w.home, "out.sock")
	s, at := w.listenOn("listen=unix&path=" + path)
	if at.Path != path {
		t.Fatalf("at %q", at.Path)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
	if again := w.upgrade("listen=unix&path="+path, nil); again.status != 409 {
		t.Fatalf("made twice: %d %s", again.status, again.body)
	}
	s.Close()
	eventually(t, "it is gone", func() bool { _, err := os.Lstat(path); return err != nil })
}

func TestASocketIsNotMadeWhereTheUserMayNotWrite(t *testing.T) {
	needRoot(t)
	w := start(t)
	if s := w.upgrade("listen=unix&path=/etc/out.sock", nil); s.status != 403 {
		t.Fatalf("got %d %s", s.status, s.body)
	}
}

func TestTheAgentsSocketIsInADirectoryOfItsOwn(t *testing.T) {
	w := start(t)
	s, at := w.listenOn("listen=agent")
	info, err := os.Stat(filepath.Dir(at.Path))
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v", info.Mode())
	}
	asked := w.upgrade("process=1", asking("'"+at.Path+"'", "AF_UNIX"))
	taken := w.upgrade("accepted="+s.line(t).Accepted, nil)
	_, _ = taken.Write([]byte("key"))
	_ = taken.CloseWrite()
	if said := asked.until(t, ended); said.stdout != "key\n" {
		t.Fatalf("got %+v", said)
	}
	s.Close()
	eventually(t, "it is gone", func() bool { _, err := os.Stat(filepath.Dir(at.Path)); return err != nil })
}

func TestPathsThatAreNoneOfASocketAreRefused(t *testing.T) {
	w := start(t)
	for _, path := range []string{"@abstract", "relative", "%00abstract", "/a%00b", "/a%0Ab", "/" + strings.Repeat("x", 200), ""} {
		if s := w.upgrade("listen=unix&path="+path, nil); s.status != 400 {
			t.Errorf("listen on %q: %d", path, s.status)
		}
		if path == "" {
			continue
		}
		if s := w.upgrade("unix="+path, nil); s.status != 400 {
			t.Errorf("connect to %q: %d", path, s.status)
		}
	}
}

func TestListenersAreBounded(t *testing.T) {
	w := start(t)
	w.loopback()
	var open []*session
	for range 128 {
		s, _ := w.listenOn("listen=tcp&port=0")
		open = append(open, s)
	}
	if s := w.upgrade("listen=tcp&port=0", nil); s.status != 429 {
		t.Fatalf("one more: %d", s.status)
	}
	for _, s := range open {
		s.Close()
	}
	eventually(t, "there is room", func() bool {
		s := w.upgrade("listen=tcp&port=0", nil)
		defer s.Close()
		return s.status == 101
	})
}

func TestConnectionsThatNobodyTakesAreHeldBackAndNotKept(t *testing.T) {
	w := start(t)
	w.loopback()
	s, at := w.listenOn("listen=tcp&port=0")
	flood := fmt.Sprintf("import socket, time\nkept = [socket.create_connection(('127.0.0.1', %d)) for _ in range(200)]\nprint('all', flush=True)\ntime.sleep(60)", at.Port)
	asked := w.upgrade("process=1", object{"cmd": "python3", "args": []string{"-c", flood}})
	asked.until(t, saying("all"))
	must(t, s.SetReadDeadline(time.Now().Add(2*time.Second)))
	count := 0
	for {
		if _, err := s.buffered.ReadBytes('\n'); err != nil {
			break
		}
		count++
	}
	if count != 32 {
		t.Fatalf("told of %d", count)
	}
}

func (w *workspace) sftp() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	s := w.upgrade("sftp=1", nil)
	if s.status != 101 {
		w.t.Fatalf("%d %s", s.status, s.body)
	}
	_, err := s.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3})
	must(w.t, err)
	head := make([]byte, 4)
	_, err = io.ReadFull(s.buffered, head)
	must(w.t, err)
	_, err = io.CopyN(io.Discard, s.buffered, int64(binary.BigEndian.Uint32(head)))
	must(w.t, err)
	return s, s.buffered
}

func TestSFTPRunsAsTheUserAndEndsWithItsClient(t *testing.T) {
	w := start(t)
	conn, _ := w.sftp()
	eventually(t, "it runs", func() bool { return len(running(t, program+" --sftp")) > 0 })
	if os.Getuid() == 0 {
		if uid := w.sh("stat -c %u /proc/$(pgrep -f -- --sftp)").stdout; strings.TrimSpace(uid) != "1000" {
			t.Fatalf("it runs as %q", uid)
		}
	}
	conn.Close()
	eventually(t, "it is gone", func() bool { return len(running(t, program+" --sftp")) == 0 })
}

func TestSFTPEndsWhenItsClientHasNothingMoreToSay(t *testing.T) {
	w := start(t)
	conn, in := w.sftp()
	must(t, conn.(*session).CloseWrite())
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Fatalf("got %d bytes, %v", len(rest), err)
	}
}

func TestAHostileSFTPClientEndsItsOwnServerOnly(t *testing.T) {
	w := start(t)
	conn, in := w.sftp()
	_, _ = conn.Write([]byte{0xff, 0xff, 0xff, 0xff, 0})
	if _, err := io.ReadAll(in); err != nil {
		t.Fatal(err)
	}
	if r := w.sh("echo alive"); r.stdout != "alive\n" {
		t.Fatalf("got %+v", r)
	}
}
