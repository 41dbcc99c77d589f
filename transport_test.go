// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNoProxy runs itself again with a proxy in the environment, which net/http reads once in a
// process. Nothing is sent: where a request would go is recorded instead of dialled.
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
				return nil, errors.New("not dialled")
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://169.254.169.254:8080/", nil)
			require.NoError(t, err)
			_, err = transport.RoundTrip(req)
			require.ErrorContains(t, err, "not dialled")
			return address
		}
		require.Equal(t, "127.0.0.1:3128", goesTo(http.DefaultTransport.(*http.Transport).Clone()), "the environment has no effect")
		require.Equal(t, "169.254.169.254:8080", goesTo(newHTTPClient(0).Transport.(*http.Transport)))
	}
}

// TestHandshakesEnd: net/http goes on with a handshake whose request has been given up, so without
// a timeout a silent host would collect connections.
func TestHandshakesEnd(t *testing.T) {
	for name, test := range map[string]struct {
		base *http.Client
		want time.Duration
	}{
		"default":           {newHTTPClient(0), tlsTimeout},
		"own":               {&http.Client{Transport: &http.Transport{}}, tlsTimeout},
		"own, with its own": {&http.Client{Transport: &http.Transport{TLSHandshakeTimeout: time.Second}}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := pinned(test.base)
			require.NoError(t, err)
			require.Equal(t, test.want, client.Transport.(*http.Transport).TLSHandshakeTimeout)
		})
	}
	require.Equal(t, tlsTimeout, newHTTPClient(0).Transport.(*http.Transport).TLSHandshakeTimeout)
}
