package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func entry(header tar.Header, content string) []byte {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header.Size = int64(len(content))
	_ = writer.WriteHeader(&header)
	_, _ = writer.Write([]byte(content))
	_ = writer.Flush()
	return archive.Bytes()
}

func TestNamesAreCleanedOrRefused(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "./a/": "a", "a//b": "a/b", ".": ".", "": "."} {
		if got, err := clean(name); err != nil || got != want {
			t.Errorf("%q: %q %v", name, got, err)
		}
	}
	for _, name := range []string{"/a", "..", "a/..", "a/../b", "a\x00", strings.Repeat("a/", 100), strings.Repeat("a", 5000)} {
		if got, err := clean(name); err == nil {
			t.Errorf("%.20q became %q", name, got)
		}
	}
}

// FuzzExtract looks at the one thing that counts: whatever the archive says, nothing changes outside.
func FuzzExtract(f *testing.F) {
	f.Add(entry(tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o644}, "x"))
	f.Add(entry(tar.Header{Name: "../a", Typeflag: tar.TypeReg, Mode: 0o644}, "x"))
	f.Add(append(entry(tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "..", Mode: 0o777}, ""), entry(tar.Header{Name: "l/a", Typeflag: tar.TypeReg}, "x")...))
	f.Add(append(entry(tar.Header{Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "../..", Mode: 0o777}, ""), entry(tar.Header{Name: "d/l/a", Typeflag: tar.TypeDir}, "")...))
	f.Add(entry(tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../witness"}, ""))
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, data []byte) {
		base := t.TempDir()
		witness := filepath.Join(base, "witness")
		if err := os.WriteFile(witness, []byte("witness"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _ = Extract(bytes.NewReader(data), filepath.Join(base, "out"))
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%v %v", entries, err)
		}
		info, _ := os.Stat(witness)
		if text, err := os.ReadFile(witness); err != nil || string(text) != "witness" || info.Mode() != 0o644 {
			t.Fatalf("the witness is %q (%v)", text, err)
		}
		// Leave nothing that the test's own cleaning cannot remove.
		_ = filepath.WalkDir(base, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				_ = os.Chmod(path, 0o755)
			}
			return nil
		})
	})
}
