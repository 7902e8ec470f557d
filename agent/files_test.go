package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func (w *workspace) put(path string, content []byte) (int, []byte) {
	w.t.Helper()
	return w.call("POST", "/files?path="+url.QueryEscape(path), content, "Content-Type", "application/octet-stream")
}

func TestAFileIsReadInRanges(t *testing.T) {
	w := start(t)
	w.put(w.home+"/a", []byte("0123456789"))
	status, body := w.call("GET", "/files?path="+w.home+"/a", nil, "Range", "bytes=2-4")
	if status != 206 || string(body) != "234" {
		t.Fatalf("%d %q", status, body)
	}
}

func TestAWriteKeepsTheModeAndGivesTheOldOrTheNewNeverAPart(t *testing.T) {
	w := start(t)
	path := w.home + "/a"
	w.put(path, []byte("old"))
	must(t, os.Chmod(path, 0o751))
	before, err := os.Stat(path)
	must(t, err)
	open, err := os.Open(path)
	must(t, err)
	defer open.Close()
	// A body that breaks off: the length that is promised never comes.
	conn := w.upgradeRaw("POST /files?path=" + path + " HTTP/1.1\r\nHost: a\r\nX-Alcove-Control: " + controlKey + "\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\npart")
	conn.Close()
	if status, body := w.put(path, []byte("new")); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	after, err := os.Stat(path)
	must(t, err)
	old, _ := io.ReadAll(open)
	if content, _ := os.ReadFile(path); string(content) != "new" || string(old) != "old" {
		t.Fatalf("now %q, and who had it open reads %q", content, old)
	}
	if after.Mode() != before.Mode() || after.Sys().(*syscall.Stat_t).Uid != before.Sys().(*syscall.Stat_t).Uid {
		t.Fatalf("was %v, is %v", before.Mode(), after.Mode())
	}
	eventually(t, "no temporary file is left", func() bool {
		names, _ := filepath.Glob(w.home + "/.*")
		return len(names) == 0
	})
}

func TestAWriteThroughALinkReplacesWhatItNames(t *testing.T) {
	w := start(t)
	w.put(w.home+"/real", []byte("old"))
	must(t, os.Symlink("real", w.home+"/link"))
	w.put(w.home+"/link", []byte("new"))
	if content, _ := os.ReadFile(w.home + "/real"); string(content) != "new" {
		t.Fatalf("got %q", content)
	}
	if target, err := os.Readlink(w.home + "/link"); err != nil || target != "real" {
		t.Fatalf("the link is now %q (%v)", target, err)
	}
}

func TestManyFilesInOneRequestNamedWithTheirPaths(t *testing.T) {
	w := start(t)
	var body bytes.Buffer
	for i := range 3 {
		fmt.Fprintf(&body, "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s/d%d/f\"\r\n\r\ncontent %d\r\n", w.home, i, i)
	}
	body.WriteString("--b--\r\n")
	status, answer := w.call("POST", "/files", &body, "Content-Type", "multipart/form-data; boundary=b")
	var written []struct{ Name, Path, Type string }
	if err := json.Unmarshal(answer, &written); err != nil || status != 200 || len(written) != 3 {
		t.Fatalf("%d %s", status, answer)
	}
	if content, _ := os.ReadFile(w.home + "/d2/f"); string(content) != "content 2" || written[2].Path != w.home+"/d2/f" || written[2].Type != "file" {
		t.Fatalf("%q %+v", content, written[2])
	}
}

func TestAGzipBodyIsUnpacked(t *testing.T) {
	w := start(t)
	var body bytes.Buffer
	packer := gzip.NewWriter(&body)
	_, _ = packer.Write([]byte("plain"))
	must(t, packer.Close())
	w.call("POST", "/files?path="+w.home+"/a", &body, "Content-Type", "application/octet-stream", "Content-Encoding", "gzip")
	if content, _ := os.ReadFile(w.home + "/a"); string(content) != "plain" {
		t.Fatalf("got %q", content)
	}
}

func TestPartsAreComposedIntoOneFile(t *testing.T) {
	w := start(t)
	for i := range 3 {
		w.put(fmt.Sprintf("%s/part%d", w.home, i), []byte(fmt.Sprint(i)))
	}
	status, body := w.call("POST", "/files/compose", object{
		"source_paths": []string{w.home + "/part0", w.home + "/part1", w.home + "/part2"}, "destination": w.home + "/whole"})
	content, _ := os.ReadFile(w.home + "/whole")
	if left, _ := filepath.Glob(w.home + "/part*"); status != 200 || string(content) != "012" || len(left) > 0 {
		t.Fatalf("%d %s: %q, left %v", status, body, content, left)
	}
}

func TestAGigabyteGoesInAndOutInFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a gigabyte")
	}
	w := start(t)
	const size = 1 << 30
	status, body := w.call("POST", "/files?path="+w.home+"/big", io.LimitReader(zeros{}, size), "Content-Type", "application/octet-stream")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if kib := w.memory(); kib > 30_000 {
		t.Errorf("after the upload the agent has %d KiB", kib)
	}
	response := w.request("GET", "/files?path="+w.home+"/big", nil, "X-Alcove-Control", controlKey)
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if kib := w.memory(); kib > 30_000 {
		t.Errorf("after the download the agent has %d KiB", kib)
	}
}

type zeros struct{}

func (zeros) Read(buffer []byte) (int, error) { return len(buffer), nil }

func TestWhatIsNoFileIsNotRead(t *testing.T) {
	w := start(t)
	must(t, syscall.Mkfifo(w.home+"/pipe", 0o666))
	for path, want := range map[string]int{w.home: 400, w.home + "/pipe": 400, "/dev/zero": 400, w.home + "/none": 404, w.home + "/pipe/x": 400} {
		if status, body := w.call("GET", "/files?path="+path, nil); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestBadPathsAreTheRequestsFault(t *testing.T) {
	w := start(t)
	for _, path := range []string{"a\x00b", strings.Repeat("x", 300), strings.Repeat("x/", 3000)} {
		if status, body := w.put(path, nil); status != 400 {
			t.Errorf("%.20q: %d %s", path, status, body)
		}
	}
	if status, body := w.put(w.home, nil); status != 400 {
		t.Errorf("a directory: %d %s", status, body)
	}
}

func TestAFullDiskIs507AndLeavesNothing(t *testing.T) {
	needRoot(t)
	w := start(t)
	small := w.home + "/small"
	must(t, os.Mkdir(small, 0o777))
	w.enter("mount", "mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", small)
	status, body := w.call("POST", "/files?path="+small+"/a", io.LimitReader(zeros{}, 4<<20), "Content-Type", "application/octet-stream")
	if status != 507 {
		t.Fatalf("%d %s", status, body)
	}
	if result := w.sh("ls -A " + small); result.stdout != "" {
		t.Fatalf("left: %s", result.stdout)
	}
}

func TestADirectoryIsListedToItsDepthAndNotThroughLinks(t *testing.T) {
	w := start(t)
	must(t, os.MkdirAll(w.home+"/d/one/two/three", 0o755))
	must(t, os.Symlink("/", w.home+"/d/root"))
	status, body := w.call("POST", "/filesystem.Filesystem/ListDir", object{"path": w.home + "/d", "depth": 2})
	var answer struct {
		Entries []struct {
			Path, Type, Size string
			IsSymlink        bool
			SymlinkTarget    string
		}
	}
	must(t, json.Unmarshal(body, &answer))
	var paths []string
	for _, entry := range answer.Entries {
		paths = append(paths, strings.TrimPrefix(entry.Path, w.home))
	}
	if strings.Join(paths, " ") != "/d/one /d/one/two /d/root" || status != 200 {
		t.Fatalf("%d %v", status, paths)
	}
	if link := answer.Entries[2]; !link.IsSymlink || link.SymlinkTarget != "/" || link.Type != "FILE_TYPE_DIRECTORY" {
		t.Fatalf("got %+v", link)
	}
}

func TestMetadataIsKeptWithTheFile(t *testing.T) {
	w := start(t)
	status, body := w.call("POST", "/files?path="+w.home+"/a", []byte("x"), "Content-Type", "application/octet-stream", "X-Metadata-Color", "blue")
	if status != 200 || !strings.Contains(string(body), `"metadata":{"color":"blue"}`) {
		t.Fatalf("%d %s", status, body)
	}
	if _, body := w.call("POST", "/filesystem.Filesystem/Stat", object{"path": w.home + "/a"}); !strings.Contains(string(body), `"metadata":{"color":"blue"}`) {
		t.Fatalf("got %s", body)
	}
}
