// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

// node starts an HTTPS server and sets Service Fabric's variables to it.
func node(t *testing.T, handler http.HandlerFunc) (server *httptest.Server, requests *atomic.Int32) {
	requests = new(atomic.Int32)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler(w, r)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the errors of handshakes that must fail
	server.StartTLS()
	t.Cleanup(server.Close)
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(server.Certificate().Raw) })
	at(t, map[string]string{"IDENTITY_ENDPOINT": server.URL, "IDENTITY_HEADER": "secret", "IDENTITY_SERVER_THUMBPRINT": hex.EncodeToString(sum[:])})
	return server, requests
}

func grant(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }

type noTransporter struct{}

func (noTransporter) Do(*http.Request) (*http.Response, error) { return nil, errors.New("not called") }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPeersServiceFabric(t *testing.T) {
	const atGetToken = departures + "`GetToken` returns a `CredentialUnavailableError` that names the variable"
	client := func(change func(*http.Transport)) policy.Transporter {
		transport := &http.Transport{TLSClientConfig: &tls.Config{}}
		change(transport)
		return &http.Client{Transport: transport}
	}
	var asked, pooled atomic.Int32
	for _, test := range []struct {
		name      string
		transport policy.Transporter
		variables map[string]string // other than the server's
		handler   http.HandlerFunc
		peer      string // outcome and requests
		azhost    string // "" for the same
		stated    string
	}{
		{name: "own transport", peer: "token after 1"},
		{name: "a client", transport: &http.Client{}, peer: "token after 1"},
		{name: "a client's hooks are used", transport: client(func(c *http.Transport) {
			c.Proxy = func(*http.Request) (*url.URL, error) { asked.Add(1); return nil, nil }
		}), peer: "token after 1"},
		{name: "HTTP/2", transport: client(func(c *http.Transport) { c.ForceAttemptHTTP2 = true }), peer: "token after 1"},
		{name: "a pool of HTTP/2 connections is not used", transport: client(func(c *http.Transport) {
			c.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": func(string, *tls.Conn) http.RoundTripper {
				pooled.Add(1)
				return roundTripper(noTransporter{}.Do)
			}}
		}), peer: "token after 1"},
		{name: "TLS configuration", transport: client(func(c *http.Transport) { c.TLSClientConfig.ServerName = "caller.example" }), handler: func(w http.ResponseWriter, r *http.Request) {
			if r.TLS.ServerName == "caller.example" && r.Header.Get("Secret") == "secret" && r.Header.Get("Accept") == "application/json" &&
				r.URL.Query().Get("api-version") == "2019-07-01-preview" && r.URL.Query().Get("resource") != "" {
				grant(w, r)
			}
		}, peer: "token after 1"},
		{name: "a client's timeout", transport: &http.Client{Timeout: 50 * time.Millisecond}, handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, peer: "failed after 1"},
		{name: "another certificate", variables: map[string]string{"IDENTITY_SERVER_THUMBPRINT": hex.EncodeToString(make([]byte, 20))}, peer: "failed after 0"},
		{name: "another certificate, a client", transport: &http.Client{}, variables: map[string]string{"IDENTITY_SERVER_THUMBPRINT": hex.EncodeToString(make([]byte, 20))}, peer: "failed after 0"},
		{name: "not an *http.Client", transport: noTransporter{}, peer: "constructor"},
		{name: "not an *http.Transport", transport: &http.Client{Transport: roundTripper(noTransporter{}.Do)}, peer: "constructor"},
		{name: "a TLS dialer", transport: client(func(c *http.Transport) {
			c.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not called") }
		}), peer: "constructor"},
		{name: "a TLS check", transport: client(func(c *http.Transport) {
			c.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error { return nil }
		}), peer: "constructor"},
		{name: "http", variables: map[string]string{"IDENTITY_ENDPOINT": "http://127.0.0.1/"}, peer: "constructor", azhost: "unavailable after 0", stated: atGetToken},
		{name: "no thumbprint", variables: map[string]string{"IDENTITY_SERVER_THUMBPRINT": "not-a-thumbprint"}, peer: "constructor", azhost: "unavailable after 0", stated: atGetToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.handler == nil {
				test.handler = grant
			}
			for library, make := range map[string]maker{"azidentity": newAzidentity, "azhost": newAzhost} {
				_, requests := node(t, test.handler)
				for name, value := range test.variables {
					t.Setenv(name, value)
				}
				want := test.peer
				if library == "azhost" && test.azhost != "" {
					want = test.azhost
					requireStated(t, test.stated)
				}
				cred, err := make(azcore.ClientOptions{Transport: test.transport, Retry: policy.RetryOptions{MaxRetries: -1}}, "", "")
				if err != nil {
					require.Equal(t, want, "constructor", "%s: %v", library, err)
					continue
				}
				token, err := get(cred)
				require.Equal(t, want, fmt.Sprintf("%s after %d", outcome(token, err), requests.Load()), "%s: %v", library, err)
			}
			if c, ok := test.transport.(*http.Client); ok {
				require.Nil(t, c.CheckRedirect, "the caller's client was changed")
				if tr, ok := c.Transport.(*http.Transport); ok && tr.TLSClientConfig != nil {
					require.False(t, tr.TLSClientConfig.InsecureSkipVerify)
				}
			}
		})
	}
	require.EqualValues(t, 2, asked.Load(), "once by each library")
	require.Zero(t, pooled.Load())
}

// Redirects are not followed, so the secret is not sent elsewhere.
func TestPeersServiceFabricRedirect(t *testing.T) {
	var followed atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, transport := range []policy.Transporter{nil, &http.Client{}} {
			for library, make := range map[string]maker{"azidentity": newAzidentity, "azhost": newAzhost} {
				_, requests := node(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, status) })
				cred, err := make(azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}}, "", "")
				require.NoError(t, err)
				token, err := get(cred)
				require.Equal(t, "failed", outcome(token, err), "%s: %v", library, err)
				require.ErrorContains(t, err, "redirect")
				require.EqualValues(t, 1, requests.Load())
			}
		}
	}
	require.Zero(t, followed.Load())
}

// azidentity keeps its first endpoint. azhost reads the variables again.
func TestServiceFabricEndpointChanges(t *testing.T) {
	for library, want := range map[string][2]int32{"azidentity": {1, 0}, "azhost": {0, 1}} {
		make := map[string]maker{"azidentity": newAzidentity, "azhost": newAzhost}[library]
		_, first := node(t, grant)
		cred, err := make(azcore.ClientOptions{}, "", "")
		require.NoError(t, err)
		_, second := node(t, grant)
		require.Equal(t, "token", outcome(get(cred))) // both nodes have httptest's certificate
		require.Equal(t, want, [2]int32{first.Load(), second.Load()}, library)
	}
	requireStated(t, departures+"The variables are read again for each request")
}
