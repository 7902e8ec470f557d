package door

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var proof = strings.Repeat("p", 64)

// outside is the other end: a directory with a socket and what the agent reads.
type outside struct {
	t         *testing.T
	directory string
	listener  *net.UnixListener
}

func open(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, directory: t.TempDir()}
	o.write("a", "first")
	o.listen()
	return o
}

func (o *outside) listen() {
	path := filepath.Join(o.directory, "door.sock")
	_ = os.Remove(path)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		o.t.Fatal(err)
	}
	o.listener = listener
	o.t.Cleanup(func() { listener.Close() })
}

func (o *outside) write(key, epoch string) {
	text, _ := json.Marshal(state{ControlSHA256: hex.EncodeToString(digest(key)), Epoch: epoch})
	half := filepath.Join(o.directory, "half")
	if err := os.WriteFile(half, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(half, filepath.Join(o.directory, "door.json")); err != nil {
		o.t.Fatal(err)
	}
}

func digest(key string) []byte {
	hash := sha256.Sum256([]byte(key))
	return hash[:]
}

// take is a connection of the agent's, after its proof.
func (o *outside) take() (net.Conn, *bufio.Reader) {
	o.t.Helper()
	_ = o.listener.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := o.listener.Accept()
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { conn.Close() })
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil || line != proof+"\n" {
		o.t.Fatalf("the proof was %q (%v)", line, err)
	}
	return conn, reader
}

func serve(t *testing.T, o *outside, told func([]byte), handler http.HandlerFunc) {
	t.Helper()
	door, err := Open(o.directory, proof, told)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ConnContext: Context}
	go func() { _ = server.Serve(door) }()
	t.Cleanup(func() { server.Close() })
}

func TestARequestIsAnsweredOnATakenConnection(t *testing.T) {
	o := open(t)
	serve(t, o, func([]byte) {}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	for range 3 * waitingMax {
		conn, reader := o.take()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: agent\r\n\r\n")
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(answer.Body); string(body) != "here" {
			t.Fatalf("got %q", body)
		}
	}
}

func TestTheDigestIsReadAgainForEveryConnection(t *testing.T) {
	o := open(t)
	heard := make(chan string, 100)
	serve(t, o, func(hash []byte) { heard <- string(hash) }, func(http.ResponseWriter, *http.Request) {})
	if first := <-heard; first != string(digest("a")) {
		t.Fatalf("got another digest than the first")
	}
	o.write("b", "second")
	o.listener.Close() // as a checkpoint does with every connection
	o.listen()
	for {
		select {
		case hash := <-heard:
			if hash == string(digest("b")) {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the new digest was never read")
		}
	}
}

func TestAConnectionLostInAnotherEpochWasCut(t *testing.T) {
	for epoch, cut := range map[string]bool{"first": false, "second": true} {
		o := open(t)
		begun, result := make(chan struct{}), make(chan bool, 1)
		serve(t, o, func([]byte) {}, func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			result <- Cut(context.WithoutCancel(r.Context()))
		})
		conn, _ := o.take()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: agent\r\n\r\n")
		<-begun
		o.write("a", epoch)
		conn.Close()
		if got := <-result; got != cut {
			t.Errorf("epoch %s: cut is %v", epoch, got)
		}
	}
}

func TestAShortProofIsRefused(t *testing.T) {
	if _, err := Open(t.TempDir(), "short", func([]byte) {}); err == nil {
		t.Fatal("a door was opened with a proof that can be guessed")
	}
}

func TestOnlyConnectionsOfFormerEpochsAreClosed(t *testing.T) {
	o := open(t)
	door, err := Open(o.directory, proof, func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	former := make([]net.Conn, waitingMax)
	for i := range former {
		former[i], _ = o.take()
	}
	o.write("a", "second")
	door.forgetFormer()
	for _, conn := range former {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a connection of the first epoch is open (%v)", err)
		}
	}
	later, reader := o.take()
	door.forgetFormer()
	_ = later.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := reader.ReadByte(); err == io.EOF {
		t.Fatal("a connection of the second epoch was closed")
	}
}
