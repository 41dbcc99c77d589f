// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/internal/advice"
	"github.com/stretchr/testify/require"
)

// TestNoProxy runs itself again with a proxy in the environment, which net/http reads once in a process. A
// dialer records the address of each request instead of connecting.
func TestNoProxy(t *testing.T) {
	const child = "AZHOST_TEST_PROXY"
	if os.Getenv(child) == "" {
		self, err := os.Executable()
		require.NoError(t, err)
		again := exec.Command(self, "-test.run=^TestNoProxy$", "-test.v")
		again.Env = append(os.Environ(), child+"=1", "NO_PROXY=", "no_proxy=")
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
			again.Env = append(again.Env, name+"=http://127.0.0.1:3128")
		}
		out, err := again.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestNoProxy")
		return
	}
	for _, scheme := range []string{"http", "https"} {
		goesTo := func(transport *http.Transport) (address string) {
			transport.DialContext = func(_ context.Context, _, to string) (net.Conn, error) {
				address = to
				return nil, errors.New("not dialed")
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://169.254.169.254:8080/", nil)
			require.NoError(t, err)
			_, err = transport.RoundTrip(req)
			require.ErrorContains(t, err, "not dialed")
			return address
		}
		require.Equal(t, "127.0.0.1:3128", goesTo(http.DefaultTransport.(*http.Transport).Clone()), "the environment has no effect")
		require.Equal(t, "169.254.169.254:8080", goesTo(newHTTPClient(0).Transport.(*http.Transport)))
	}
}

// TestTimeoutWhileConnecting checks that the error tells whether there was no connection or no response.
func TestTimeoutWhileConnecting(t *testing.T) {
	stuck := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	accepting := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		return near, nil
	}}
	for name, test := range map[string]struct {
		client    *http.Client
		url, text string
		problem   advice.Problem
	}{
		"connecting":                {&http.Client{Transport: stuck}, "http://host/", "there was no connection in time", advice.Silent},
		"connecting, with TLS":      {&http.Client{Transport: stuck}, "https://host/", "there was no connection in time", advice.Silent},
		"connecting, of the client": {&http.Client{Transport: stuck, Timeout: time.Second}, "http://host/", "there was no connection in time", advice.Silent},
		"connected":                 {&http.Client{Transport: accepting}, "http://host/", "the request was accepted", advice.NoResponse},
		"connected, of the client":  {&http.Client{Transport: accepting, Timeout: time.Second}, "http://host/", "the request was accepted", advice.NoResponse},
		"in a handshake":            {&http.Client{Transport: accepting}, "https://host/", "the request was accepted", advice.NoResponse},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, test.url, nil)
			require.NoError(t, err, name)
			_, err = (&transport{test.client}).Do(req)
			require.Equal(t, test.problem, problemOf(err), name)
			require.Equal(t, test.text+map[bool]string{true: ", but there was no response in time"}[test.problem == advice.NoResponse]+" (context deadline exceeded)", describe(err), name)
			stuck.CloseIdleConnections()
			accepting.CloseIdleConnections()
			synctest.Wait()
		})
	}
}

// TestHandshakeTimeout checks that a handshake ends. net/http continues it after its request has been
// canceled, so without a timeout, connections to a silent host would accumulate.
func TestHandshakeTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		base *http.Client
		want time.Duration
	}{
		"default":                 {newHTTPClient(0), tlsTimeout},
		"own":                     {&http.Client{Transport: &http.Transport{}}, tlsTimeout},
		"a client with a timeout": {&http.Client{Transport: &http.Transport{TLSHandshakeTimeout: time.Second}}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := pinned(test.base)
			require.NoError(t, err)
			require.Equal(t, test.want, client.Transport.(*http.Transport).TLSHandshakeTimeout)
		})
	}
	require.Equal(t, tlsTimeout, newHTTPClient(0).Transport.(*http.Transport).TLSHandshakeTimeout)
}
