package main

import (
	"encoding/json"
	"testing"

	"alcove.dev/agent/internal/frame"
)

// terminals is what the agent lists.
func (w *workspace) terminals() []struct {
	Tag, Title, Label   string
	Cols, Rows, Viewers int
} {
	w.t.Helper()
	status, body := w.call("GET", "/alcove/terminals?prefix=t:", nil)
	if status != 200 {
		w.t.Fatalf("%d %s", status, body)
	}
	var answer struct {
		Terminals []struct {
			Tag, Title, Label   string
			Cols, Rows, Viewers int
		}
	}
	must(w.t, json.Unmarshal(body, &answer))
	return answer.Terminals
}

func TestTerminalsAreListedWithTheirTitlesAndViewers(t *testing.T) {
	w := start(t)
	script := `printf '\033]2;building\007'; echo ready; cat`
	first := w.upgrade("process=1", object{
		"cmd": "sh", "args": []string{"-c", script}, "pty": object{"cols": 90, "rows": 30}, "view": object{},
		"stdin": true, "tag": "t:main", "detach": true,
	})
	first.until(t, saying("ready"))
	second := w.upgrade("attach=1", object{"tag": "t:main", "pty": object{"cols": 40, "rows": 50}, "view": object{}})
	second.until(t, saying("ready"))
	status, body := w.call("POST", "/alcove/terminals", object{"tag": "t:main", "label": "my build"})
	if status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	list := w.terminals()
	if len(list) != 1 || list[0].Title != "building" || list[0].Label != "my build" || list[0].Viewers != 2 ||
		list[0].Cols != 40 || list[0].Rows != 30 {
		t.Fatalf("got %+v", list)
	}
	second.Close()
	eventually(t, "the size is the first one's again", func() bool { return w.terminals()[0].Cols == 90 })
	first.send(t, frame.StdinEOF, "")
	first.until(t, ended)
	if list := w.terminals(); len(list) != 0 {
		t.Fatalf("got %+v", list)
	}
}
