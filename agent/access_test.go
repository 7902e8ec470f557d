package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// routes is every route, and whether clients may use it.
var routes = []struct {
	method, path string
	clients      bool
}{
	{"POST", "/process.Process/List", true},
	{"POST", "/process.Process/Start", true},
	{"POST", "/process.Process/Connect", true},
	{"POST", "/process.Process/Update", true},
	{"POST", "/process.Process/StreamInput", true},
	{"POST", "/process.Process/SendInput", true},
	{"POST", "/process.Process/SendSignal", true},
	{"POST", "/process.Process/CloseStdin", true},
	{"POST", "/filesystem.Filesystem/Stat", true},
	{"POST", "/filesystem.Filesystem/MakeDir", true},
	{"POST", "/filesystem.Filesystem/Move", true},
	{"POST", "/filesystem.Filesystem/ListDir", true},
	{"POST", "/filesystem.Filesystem/Remove", true},
	{"POST", "/filesystem.Filesystem/WatchDir", true},
	{"POST", "/filesystem.Filesystem/CreateWatcher", true},
	{"POST", "/filesystem.Filesystem/GetWatcherEvents", true},
	{"POST", "/filesystem.Filesystem/RemoveWatcher", true},
	{"GET", "/files?path=/etc/passwd", true},
	{"POST", "/files?path=/tmp/x", true},
	{"POST", "/files/compose", true},
	{"POST", "/init", false},
	{"POST", "/freeze", false},
	{"POST", "/unfreeze", false},
	{"POST", "/upgrade", false},
	{"POST", "/alcove/exec", false},
	{"POST", "/alcove/stream", false},
	{"POST", "/alcove/shutdown", false},
	{"GET", "/alcove/startup", false},
	{"GET", "/alcove/logs", false},
	{"GET", "/alcove/stats", false},
	{"GET", "/alcove/posture", false},
	{"GET", "/alcove/archive?path=/etc", false},
	{"PUT", "/alcove/archive?path=/tmp/x", false},
}

func TestEachRouteIsForWhomItIsFor(t *testing.T) {
	w := start(t)
	w.call("POST", "/init", object{"access_token": accessToken})
	status := func(method, path string, headers ...string) int {
		response := w.request(method, path, nil, headers...)
		response.Body.Close()
		return response.StatusCode
	}
	for _, route := range routes {
		nobody, client := http.StatusUnauthorized, 0
		if !route.clients {
			nobody, client = http.StatusNotFound, http.StatusNotFound
		}
		if got := status(route.method, route.path); got != nobody {
			t.Errorf("%s %s for nobody: %d", route.method, route.path, got)
		}
		if got := status(route.method, route.path, "X-Access-Token", "wrong", "X-Alcove-Control", "wrong"); got != nobody {
			t.Errorf("%s %s with wrong keys: %d", route.method, route.path, got)
		}
		got := status(route.method, route.path, "X-Access-Token", accessToken)
		if client != 0 && got != client || client == 0 && (got == 401 || got == 404) {
			t.Errorf("%s %s for a client: %d", route.method, route.path, got)
		}
	}
	if got := status("GET", "/health"); got != http.StatusNoContent {
		t.Errorf("health: %d", got)
	}
}

func TestWithoutATokenNoClientIsLetIn(t *testing.T) {
	w := start(t)
	response := w.request("POST", "/process.Process/List", object{}, "X-Access-Token", "")
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %d", response.StatusCode)
	}
}

func TestANewClaimEndsTheOldToken(t *testing.T) {
	w := start(t)
	w.call("POST", "/init", object{"access_token": "first"})
	w.call("POST", "/init", object{"accessToken": "second"})
	for token, want := range map[string]int{"first": 401, "second": 200} {
		response := w.request("POST", "/process.Process/List", object{}, "X-Access-Token", token)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d", token, response.StatusCode)
		}
	}
}

func TestASignedURLIsGoodForItsPathItsOperationAndItsTime(t *testing.T) {
	w := start(t)
	w.call("POST", "/init", object{"access_token": accessToken})
	must(t, os.WriteFile(w.home+"/a", []byte("content"), 0o644))
	sign := func(path, operation, expiration string) string {
		text := path + ":" + operation + "::" + accessToken
		if expiration != "" {
			text += ":" + expiration
		}
		hash := sha256.Sum256([]byte(text))
		return "v1_" + base64.RawStdEncoding.EncodeToString(hash[:])
	}
	path := w.home + "/a"
	soon, past := fmt.Sprint(time.Now().Unix()+60), fmt.Sprint(time.Now().Unix()-1)
	for name, c := range map[string]struct {
		signature, expiration, path string
		want                        int
	}{
		"good":            {sign(path, "read", ""), "", path, 200},
		"good with time":  {sign(path, "read", soon), soon, path, 200},
		"expired":         {sign(path, "read", past), past, path, 401},
		"longer time":     {sign(path, "read", soon), soon + "0", path, 401},
		"other path":      {sign(path, "read", ""), "", "/etc/passwd", 401},
		"other operation": {sign(path, "write", ""), "", path, 401},
		"empty":           {"", "", path, 401},
	} {
		query := url.Values{"path": {c.path}, "signature": {c.signature}}
		if c.expiration != "" {
			query.Set("signature_expiration", c.expiration)
		}
		response := w.request("GET", "/files?"+query.Encode(), nil)
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s: %d", name, response.StatusCode)
		}
	}
}

func TestASignatureForNoPathOpensNone(t *testing.T) {
	w := start(t)
	w.call("POST", "/init", object{"access_token": accessToken})
	hash := sha256.Sum256([]byte(":write::" + accessToken))
	query := url.Values{"signature": {"v1_" + base64.RawStdEncoding.EncodeToString(hash[:])}}
	body := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + w.home + "/x\"\r\n\r\nx\r\n--b--\r\n"
	response := w.request("POST", "/files?"+query.Encode(), strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=b")
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %d", response.StatusCode)
	}
}
