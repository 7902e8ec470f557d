package apps

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	probeTimeout = 2 * time.Second
	probeReadMax = 64 << 10
)

// path of a check: no spaces or control characters, and nothing that could be another host.
var path = regexp.MustCompile(`^/(?:[!-.0-~][!-~]{0,510})?$`)

// prober asks this workspace only, over a connection of its own each time.
var prober = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil, DialContext: dialLoopback},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// probe says why the app does not answer; nil if it does.
func probe(ctx context.Context, app App) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	port := strconv.Itoa(app.Port)
	if app.Health.Path == "" {
		connection, err := dialLoopback(ctx, "tcp", net.JoinHostPort("localhost", port))
		if err != nil {
			return fmt.Errorf("nothing listens on port %s", port)
		}
		return connection.Close()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:"+port+app.Health.Path, nil)
	if err != nil {
		return err
	}
	answer, err := prober.Do(request)
	if err != nil {
		return fmt.Errorf("%s on port %s does not answer", app.Health.Path, port)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, probeReadMax)
	if answer.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s on port %s answers %d", app.Health.Path, port, answer.StatusCode)
	}
	return nil
}

// dialLoopback tries both families, as the streams of the control plane do.
func dialLoopback(ctx context.Context, _, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return connection, nil
	}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort("::1", port))
}
