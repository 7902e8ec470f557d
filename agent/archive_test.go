package main

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func pack(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, header := range headers {
		content := []byte("content of " + header.Name)
		if header.Typeflag != tar.TypeReg {
			content = nil
		}
		header.Size = int64(len(content))
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		must(t, writer.WriteHeader(&header))
		_, err := writer.Write(content)
		must(t, err)
	}
	must(t, writer.Close())
	return archive.Bytes()
}

func (w *workspace) unpack(archive []byte) (int, string) {
	w.t.Helper()
	status, body := w.call("PUT", "/alcove/archive?path="+w.home+"/out", archive)
	return status, string(body)
}

func TestATreeGoesOutAndInAndIsTheSame(t *testing.T) {
	w := start(t)
	w.sh("mkdir -p " + w.home + "/src/a/b && cd " + w.home + "/src && echo one > a/one && echo two > a/b/two && chmod 750 a/one && ln -s ../one a/b/link && touch -d @1000000000 a/b/two && mkfifo a/pipe")
	status, archive := w.call("GET", "/alcove/archive?path="+w.home+"/src", nil)
	if status != 200 {
		t.Fatalf("%d %s", status, archive)
	}
	if status, body := w.unpack(archive); status != 200 || !strings.Contains(body, `"entries":5`) {
		t.Fatalf("%d %s", status, body)
	}
	one, err := os.Stat(w.home + "/out/a/one")
	must(t, err)
	two, err := os.Stat(w.home + "/out/a/b/two")
	must(t, err)
	link, _ := os.Readlink(w.home + "/out/a/b/link")
	if one.Mode().Perm() != 0o750 || two.ModTime().Unix() != 1_000_000_000 || link != "../one" {
		t.Fatalf("mode %v, time %v, link %q", one.Mode(), two.ModTime(), link)
	}
	if os.Getuid() == 0 && one.Sys().(*syscall.Stat_t).Uid != hostFirstID+devID {
		t.Fatalf("it belongs to %d", one.Sys().(*syscall.Stat_t).Uid)
	}
}

func TestOneFileIsAnArchiveOfOneEntry(t *testing.T) {
	w := start(t)
	w.put(w.home+"/only", []byte("x"))
	_, archive := w.call("GET", "/alcove/archive?path="+w.home+"/only", nil)
	reader := tar.NewReader(bytes.NewReader(archive))
	header, err := reader.Next()
	must(t, err)
	if content, _ := io.ReadAll(reader); header.Name != "only" || string(content) != "x" {
		t.Fatalf("%s %q", header.Name, content)
	}
	if _, err := reader.Next(); err != io.EOF {
		t.Fatal("there is more in it")
	}
}

func TestHostileArchivesAreRefusedByTheNameOfTheEntry(t *testing.T) {
	w := start(t)
	good := tar.Header{Name: "good", Typeflag: tar.TypeReg}
	outside := w.home + "/outside"
	must(t, os.Mkdir(outside, 0o777))
	must(t, os.Chmod(outside, 0o777))
	for name, headers := range map[string][]tar.Header{
		"absolute":            {{Name: "/etc/bad", Typeflag: tar.TypeReg}},
		"up":                  {{Name: "../bad", Typeflag: tar.TypeReg}},
		"up inside":           {{Name: "a/../../bad", Typeflag: tar.TypeReg}},
		"link out":            {{Name: "bad", Typeflag: tar.TypeSymlink, Linkname: "../outside"}},
		"link absolute":       {{Name: "bad", Typeflag: tar.TypeSymlink, Linkname: outside}},
		"link far out":        {{Name: "a/bad", Typeflag: tar.TypeSymlink, Linkname: "../../outside"}},
		"hard link out":       {{Name: "bad", Typeflag: tar.TypeLink, Linkname: "../outside/x"}},
		"hard link absolute":  {{Name: "bad", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"hard link to a link": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "good"}, {Name: "bad", Typeflag: tar.TypeLink, Linkname: "l"}},
		"through a link":      {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "l/bad", Typeflag: tar.TypeReg}},
		"device":              {{Name: "bad", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
		"pipe":                {{Name: "bad", Typeflag: tar.TypeFifo}},
		"deep":                {{Name: strings.Repeat("d/", 100) + "bad", Typeflag: tar.TypeReg}},
		"long part":           {{Name: strings.Repeat("x", 300) + "bad", Typeflag: tar.TypeReg}},
		"file below a file":   {{Name: "good/bad", Typeflag: tar.TypeReg}},
	} {
		must(t, os.RemoveAll(w.home+"/out"))
		status, body := w.unpack(pack(t, append([]tar.Header{good}, headers...)...))
		if status != http.StatusBadRequest || !strings.Contains(body, "entry") || (name != "deep" && name != "long part" && !strings.Contains(body, "bad")) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if left, _ := filepath.Glob(outside + "/*"); len(left) > 0 {
		t.Fatalf("written outside: %v", left)
	}
	if _, err := os.Lstat(w.home + "/bad"); err == nil {
		t.Fatal("written beside the destination")
	}
}

func TestALinkThatIsThereAlreadyIsNotFollowed(t *testing.T) {
	w := start(t)
	must(t, os.MkdirAll(w.home+"/out", 0o777))
	must(t, os.Chmod(w.home+"/out", 0o777))
	must(t, os.Mkdir(w.home+"/outside", 0o777))
	must(t, os.Chmod(w.home+"/outside", 0o777))
	must(t, os.WriteFile(w.home+"/target", []byte("keep"), 0o666))
	must(t, os.Symlink(w.home+"/outside", w.home+"/out/d"))
	must(t, os.Symlink(w.home+"/target", w.home+"/out/f"))
	if status, body := w.unpack(pack(t, tar.Header{Name: "d/x", Typeflag: tar.TypeReg})); status != 400 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := w.unpack(pack(t, tar.Header{Name: "f", Typeflag: tar.TypeReg})); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if text, _ := os.ReadFile(w.home + "/target"); string(text) != "keep" {
		t.Errorf("the link was written through: %q", text)
	}
	if left, _ := filepath.Glob(w.home + "/outside/*"); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestSetuidIsNotUnpacked(t *testing.T) {
	w := start(t)
	w.unpack(pack(t, tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o6755}))
	if info, err := os.Stat(w.home + "/out/x"); err != nil || info.Mode() != 0o755 {
		t.Fatalf("%v %v", info, err)
	}
}

func TestAReadOnlyDirectoryIsFilledBeforeItIsClosed(t *testing.T) {
	w := start(t)
	status, body := w.unpack(pack(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o555}, tar.Header{Name: "d/x", Typeflag: tar.TypeReg}))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	info, err := os.Stat(w.home + "/out/d")
	must(t, err)
	if info.Mode().Perm() != 0o555 {
		t.Fatalf("%v", info.Mode())
	}
	must(t, os.Chmod(w.home+"/out/d", 0o755))
}

func TestAnArchiveThatBreaksOffIsTheRequestsFault(t *testing.T) {
	w := start(t)
	archive := pack(t, tar.Header{Name: "x", Typeflag: tar.TypeReg})
	if status, body := w.unpack(archive[:515]); status != 400 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := w.unpack([]byte("this is no archive, but long enough to be taken for one" + strings.Repeat("x", 1000))); status != 400 {
		t.Fatalf("%d %s", status, body)
	}
}
