// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
