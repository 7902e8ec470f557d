package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatWasClaimedIsNeverHandedToAnother(t *testing.T) {
	w := start(t)
	claim := func(mark, owner string) int {
		status, _ := w.call("POST", "/init", object{
			"env": object{"OWNER": owner}, "first_claim": mark, "identity": object{"workspace_id": "ws-1", "owner": owner},
		})
		return status
	}
	for _, step := range []struct {
		mark, owner string
		status      int
	}{{"a", "ada", 204}, {"a", "ada", 204}, {"b", "bob", 409}, {"", "ada", 204}, {"b", "bob", 409}} {
		if status := claim(step.mark, step.owner); status != step.status {
			t.Fatalf("claim %q by %s: %d, not %d", step.mark, step.owner, status, step.status)
		}
	}
}

func TestWhatWasToldWithoutAMarkIsNobodysFirst(t *testing.T) {
	w := start(t)
	if status, _ := w.call("POST", "/init", object{"env": object{}}); status != 204 {
		t.Fatal(status)
	}
	if status, _ := w.call("POST", "/init", object{"first_claim": "a"}); status != 409 {
		t.Fatalf("%d, not 409", status)
	}
}

func TestFilesOfAClaimAreWrittenOnce(t *testing.T) {
	w := start(t)
	path := filepath.Join(w.home, "deep", "task.txt")
	claim := func(id, text string) {
		t.Helper()
		body := object{"files": object{path: text}, "identity": object{"workspace_id": id}}
		if status, said := w.call("POST", "/init", body); status != 204 {
			t.Fatalf("%d %s", status, said)
		}
	}
	expect := func(text string) {
		t.Helper()
		if found, err := os.ReadFile(path); err != nil || string(found) != text {
			t.Fatalf("%q (%v), not %q", found, err, text)
		}
	}
	claim("ws-1", "fix it")
	expect("fix it")
	must(t, os.WriteFile(path, []byte("changed"), 0o644))
	claim("ws-1", "fix it")
	expect("changed")
	claim("ws-2", "another's")
	expect("another's")
}
