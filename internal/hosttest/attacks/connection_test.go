// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package attacks

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestSecretUsesNewConnection checks that a secret isn't sent again if the connection breaks after it has
// arrived. On a used connection, net/http would send it again, to the program that listens by then.
func TestSecretUsesNewConnection(t *testing.T) {
	keys := t.TempDir()
	key := filepath.Join(keys, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("canary-secret"), 0o600))
	for name, newClient := range map[string]func() *http.Client{
		"default":                      func() *http.Client { return nil },
		"a client":                     func() *http.Client { return &http.Client{Transport: &http.Transport{}} },
		"a client without a transport": func() *http.Client { return &http.Client{} },
		"a client with one connection": func() *http.Client { return &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}} },
	} {
		for source, header := range map[azhost.Source]string{
			azhost.SourceAzureArc:   "Authorization",
			azhost.SourceAppService: "X-Identity-Header",
			azhost.SourceAzureML:    "Secret",
		} {
			t.Run(name+", "+string(source), func(t *testing.T) {
				type used struct{}
				var secrets, onUsed atomic.Int32
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					requests := req.Context().Value(used{}).(*atomic.Int32).Add(1)
					switch {
					case req.Header.Get(header) != "":
						secrets.Add(1)
						if requests > 1 {
							onUsed.Add(1)
						}
						panic(http.ErrAbortHandler)
					case req.URL.Path == "/token":
						w.Header().Set("WWW-Authenticate", "Basic realm="+key)
						w.WriteHeader(http.StatusUnauthorized)
					}
				}))
				server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
					return context.WithValue(ctx, used{}, new(atomic.Int32))
				}
				server.Start()
				defer server.Close()
				setHost(t, source)
				o := &azhost.ManagedIdentityCredentialOptions{Source: source, Endpoint: server.URL + "/token", ArcKeyDirectory: keys}
				o.Retry.MaxRetries = -1
				if client := newClient(); client != nil {
					o.Transport = client
					for range 2 { // leaves a connection for the next request
						resp, err := client.Get(server.URL)
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
					}
				}
				cred, err := azhost.NewManagedIdentityCredential(o)
				require.NoError(t, err)
				_, err = token(t.Context(), cred)
				requireFailed(t, err)
				require.EqualValues(t, 1, secrets.Load(), "the secret was sent again")
				require.Zero(t, onUsed.Load(), "the secret was sent on a used connection")
			})
		}
	}
}

// TestLocalhostUsesNoResolver checks that control of name resolution isn't enough to get the key.
func TestLocalhostUsesNoResolver(t *testing.T) {
	a := newAttacker(t, says(""))
	_, port, err := net.SplitHostPort(a.listener.Addr().String())
	require.NoError(t, err)
	var dialled []string
	dial := func(network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return net.Dial(network, address)
	}
	for name, client := range map[string]*http.Client{
		"default":               nil,
		"the default transport": {},
		"a transport":           {Transport: &http.Transport{}},
		"a dialer": {Transport: &http.Transport{DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return dial(network, address)
		}}},
		//lint:ignore SA1019 net/http still calls it
		"a deprecated dialer": {Transport: &http.Transport{Dial: dial}},
	} {
		for _, host := range []string{"localhost", "LocalHost", "127.0.0.1"} {
			t.Run(name+", "+host, func(t *testing.T) {
				dialled = nil
				trace := &httptrace.ClientTrace{
					DNSStart:     func(info httptrace.DNSStartInfo) { t.Errorf("a resolver was called for %q", info.Host) },
					ConnectStart: func(_, addr string) { dialled = append(dialled, addr) },
				}
				o := &azhost.ManagedIdentityCredentialOptions{
					Source: azhost.SourceAzureArc, Endpoint: "http://" + net.JoinHostPort(host, port) + "/token", ArcKeyDirectory: t.TempDir(),
				}
				if client != nil {
					o.Transport = client
				}
				o.Retry.MaxRetries = -1
				o.PerCallPolicies = []policy.Policy{policyFunc(func(req *policy.Request) (*http.Response, error) {
					return req.WithContext(httptrace.WithClientTrace(req.Raw().Context(), trace)).Next()
				})}
				cred, err := azhost.NewManagedIdentityCredential(o)
				require.NoError(t, err)
				_, err = token(t.Context(), cred)
				requireFailed(t, err)
				require.Equal(t, []string{"127.0.0.1:" + port}, dialled)
			})
		}
	}
}

// TestTLSDialerGetsLoopbackAddress checks that a caller's dialer that also does TLS gets an address, so
// that it needs no resolver.
func TestTLSDialerGetsLoopbackAddress(t *testing.T) {
	var dialled string
	dial := func(_, address string) (net.Conn, error) {
		dialled = address
		return nil, net.ErrClosed
	}
	for name, transport := range map[string]*http.Transport{
		"DialTLSContext": {DialTLSContext: func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }},
		"DialTLS":        {DialTLS: dial},
	} {
		t.Run(name, func(t *testing.T) {
			dialled = ""
			setHost(t, azhost.SourceAppService)
			o := &azhost.ManagedIdentityCredentialOptions{Endpoint: "https://localhost:4141/token"}
			o.Transport, o.Retry.MaxRetries = &http.Client{Transport: transport}, -1
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			require.ErrorIs(t, requireFailed(t, err), net.ErrClosed)
			require.Equal(t, "127.0.0.1:4141", dialled)
		})
	}
}

// TestTransportIsNotModified checks that azhost changes a copy of the caller's transport.
func TestTransportIsNotModified(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		resp, _ := goodToken(req)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer server.Close()
	setHost(t, azhost.SourceAppService)
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	o := &azhost.ManagedIdentityCredentialOptions{Endpoint: server.URL + "/token"}
	o.Transport, o.Retry.MaxRetries = client, -1
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	require.NoError(t, err)
	require.Same(t, transport, client.Transport)
	require.Nil(t, client.CheckRedirect)
	require.False(t, transport.DisableKeepAlives)
	require.Nil(t, transport.DialContext)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	keys := t.TempDir()
	key := filepath.Join(keys, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("canary-key"), 0o600))
	for _, test := range []struct {
		name   string
		source azhost.Source
		host   http.HandlerFunc
	}{
		{"VM", azhost.SourceIMDS, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "IMDS/1.0")
			http.Redirect(w, r, elsewhere.URL+"/there?secret=canary", http.StatusTemporaryRedirect)
		}},
		{"Arc before the challenge", azhost.SourceAzureArc, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/there?secret=canary", http.StatusFound)
		}},
		{"Arc after the challenge", azhost.SourceAzureArc, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", "Basic realm="+key)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, elsewhere.URL+"/there?secret=canary", http.StatusPermanentRedirect)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := httptest.NewServer(test.host)
			defer host.Close()
			for name, transport := range map[string]policy.Transporter{"no client": nil, "a client that follows": &http.Client{}} {
				t.Run(name, func(t *testing.T) {
					followed.Store(0)
					o := &azhost.ManagedIdentityCredentialOptions{Source: test.source, Endpoint: host.URL + "/token", ArcKeyDirectory: keys}
					o.Transport = transport
					cred, err := azhost.NewManagedIdentityCredential(o)
					require.NoError(t, err)
					_, err = token(t.Context(), cred)
					require.ErrorContains(t, err, elsewhere.URL+"/there")
					require.NotContains(t, err.Error(), "canary")
					if transport == nil {
						requireFailed(t, err)
						require.Zero(t, followed.Load())
					}
				})
			}
		})
	}
}

func TestOversizedHeadersAndGzip(t *testing.T) {
	for name, host := range map[string]http.HandlerFunc{
		"endless headers": func(w http.ResponseWriter, r *http.Request) {
			for n := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
			}
		},
		"gzip is not decompressed": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("compression was requested")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b\x08"))
		},
		"an endless body": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(host)
			defer server.Close()
			cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: server.URL})
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			requireUnavailable(t, err)
		})
	}
}
