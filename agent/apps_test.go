package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

type appReport struct {
	Name, State, Reason string
	Since               time.Time
	Restarts, PID       int
}

func (w *workspace) apps() map[string]appReport {
	w.t.Helper()
	_, body := w.call("GET", "/alcove/apps", nil)
	var answer struct{ Apps []appReport }
	must(w.t, json.Unmarshal(body, &answer))
	found := map[string]appReport{}
	for _, one := range answer.Apps {
		found[one.Name] = one
	}
	return found
}

func (w *workspace) keep(apps ...object) {
	w.t.Helper()
	w.loopback()
	for _, app := range apps {
		if app["health"] == nil {
			app["health"] = object{"interval_ms": 1000, "threshold": 2}
		}
	}
	if status, body := w.call("POST", "/init", object{"apps": append([]object{}, apps...)}); status != 204 {
		w.t.Fatalf("init: %d %s", status, body)
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// fallible answers 503 once a file is there.
const fallible = `
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists(%q) else 204)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", %d), Handler)
print("ready", flush=True)
server.serve_forever()
`

func serving(port int) string {
	return fmt.Sprintf("exec python3 -m http.server --bind 127.0.0.1 %d", port)
}

func TestAnAppIsStartedAfterTheStartUpAndFoundHealthy(t *testing.T) {
	w := start(t)
	port := freePort(t)
	mark := w.home + "/mark"
	w.loopback()
	status, body := w.call("POST", "/init", object{
		"startup": object{"id": "one", "steps": []object{{"name": "slow", "kind": "script", "run": "sleep 0.5; echo x > " + mark, "cwd": "/"}}},
		"apps": []object{{
			"name": "web", "port": port, "command": "cat " + mark + " && " + serving(port), "health": object{"path": "/", "interval_ms": 1000, "threshold": 9},
		}},
	})
	if status != 204 {
		t.Fatalf("init: %d %s", status, body)
	}
	if app := w.apps()["web"]; app.State != "waiting" {
		t.Fatalf("before the start-up has ended it is %+v", app)
	}
	eventually(t, "it answers", func() bool { return w.apps()["web"].State == "healthy" })
	if app := w.apps()["web"]; app.Restarts != 0 || app.PID == 0 {
		t.Fatalf("got %+v", app)
	}
}

func TestAnAppThatEndsIsStartedAgainAndItsLastWordsAreTold(t *testing.T) {
	w := start(t)
	w.keep(object{"name": "web", "port": freePort(t), "command": "echo no such database >&2; exit 3"})
	eventually(t, "it was started again", func() bool { return w.apps()["web"].Restarts > 0 })
	eventually(t, "it says why", func() bool {
		app := w.apps()["web"]
		return app.State == "unhealthy" && strings.Contains(app.Reason, "exit code 3: no such database")
	})
	_, logs := w.call("GET", "/alcove/logs", nil)
	if !strings.Contains(string(logs), `"source":"app/web"`) {
		t.Fatalf("nothing in the log: %s", logs)
	}
}

func TestAnAppThatNoLongerAnswersIsUnhealthy(t *testing.T) {
	w := start(t)
	port, failing := freePort(t), w.home+"/failing"
	w.loopback()
	w.listen(fmt.Sprintf(fallible, failing, port))
	w.keep(object{"name": "own", "port": port, "health": object{"path": "/healthz", "interval_ms": 1000, "threshold": 2}})
	eventually(t, "it is healthy although nothing of ours started it", func() bool { return w.apps()["own"].State == "healthy" })
	must(t, os.WriteFile(failing, nil, 0o644))
	eventually(t, "it is not", func() bool {
		return w.apps()["own"].State == "unhealthy" && strings.Contains(w.apps()["own"].Reason, "answers 503")
	})
}

func TestAnAppForItsFirstUseIsStartedByThat(t *testing.T) {
	w := start(t)
	port := freePort(t)
	w.keep(object{"name": "lab", "port": port, "start": "first_use", "command": serving(port)})
	eventually(t, "it waits", func() bool { return strings.Contains(w.apps()["lab"].Reason, "opened") })
	status, body := w.call("POST", "/alcove/apps/use?name=lab&wait=20s", nil)
	if status != 200 || !strings.Contains(string(body), `"healthy"`) {
		t.Fatalf("got %d %s", status, body)
	}
	if status, _ := w.call("POST", "/alcove/apps/use?name=other&wait=1s", nil); status != 404 {
		t.Fatalf("got %d", status)
	}
}

func TestTheSameAppsAgainChangeNothingAndOthersReplaceThem(t *testing.T) {
	w := start(t)
	port, other := freePort(t), freePort(t)
	w.keep(object{"name": "web", "port": port, "command": serving(port)})
	eventually(t, "it answers", func() bool { return w.apps()["web"].State == "healthy" })
	before := w.apps()["web"].PID
	w.keep(object{"name": "web", "port": port, "command": serving(port)})
	if now := w.apps()["web"].PID; now != before {
		t.Fatalf("it was started again: %d is now %d", before, now)
	}
	w.keep(object{"name": "web", "port": other, "command": serving(other)})
	eventually(t, "the other one answers", func() bool {
		app := w.apps()["web"]
		return app.State == "healthy" && app.PID != before
	})
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		t.Fatal("the former one is still there")
	}
	w.keep()
	if len(w.apps()) != 0 {
		t.Fatalf("got %v", w.apps())
	}
}

func TestAnAppIsNobodysUseOfTheWorkspace(t *testing.T) {
	w := start(t)
	port := freePort(t)
	w.keep(object{"name": "web", "port": port, "command": serving(port)})
	eventually(t, "it answers", func() bool { return w.apps()["web"].State == "healthy" })
	_, body := w.call("GET", "/alcove/stats", nil)
	var stats struct {
		Execs int     `json:"execs_running"`
		Last  *string `json:"last_activity"`
	}
	must(t, json.Unmarshal(body, &stats))
	if stats.Execs != 0 || stats.Last != nil {
		t.Fatalf("got %s", body)
	}
}

func TestWhatAnAppSaysIsBounded(t *testing.T) {
	w := start(t)
	w.call("POST", "/init", object{"startup": object{"id": "one", "steps": []object{{"name": "first", "kind": "script", "run": "echo kept", "cwd": "/"}}}})
	w.startupEnd()
	w.keep(object{"name": "loud", "port": freePort(t), "command": "head -c 5000000 /dev/zero | tr '\\0' 'x' | fold -w 99; sleep 1000"})
	eventually(t, "it was cut", func() bool {
		_, logs := w.call("GET", "/alcove/logs", nil)
		return strings.Count(string(logs), `"source":"app/loud"`) > 100
	})
	_, logs := w.call("GET", "/alcove/logs", nil)
	if !strings.Contains(string(logs), `"line":"kept"`) || len(logs) > 400<<10 {
		t.Fatalf("%d bytes of log, and what the start-up said is in it: %v", len(logs), strings.Contains(string(logs), `"line":"kept"`))
	}
}

func TestAppsThatCannotBeAreRefused(t *testing.T) {
	w := start(t)
	good := func() object {
		return object{"name": "web", "port": 8000, "health": object{"interval_ms": 1000, "threshold": 1}}
	}
	for field, value := range map[string]any{
		"name": "Web\n", "port": 70000, "start": "never",
		"health": object{"path": "//other.example/", "interval_ms": 1000, "threshold": 1},
	} {
		app := good()
		app[field] = value
		if status, body := w.call("POST", "/init", object{"apps": []object{app}}); status != 400 {
			t.Errorf("%s %v: %d %s", field, value, status, body)
		}
	}
	if status, _ := w.call("POST", "/init", object{"apps": []object{good(), good()}}); status != 400 {
		t.Errorf("a name that stands twice: %d", status)
	}
}
