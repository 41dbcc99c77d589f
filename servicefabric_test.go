// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/hosttest"
	"github.com/stretchr/testify/require"
)

func TestServiceFabricRequest(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	server := fabric(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Store(req)
		fabricToken(w, req)
	})
	for _, form := range []func(string) string{strings.ToLower, strings.ToUpper, colons} {
		t.Setenv("IDENTITY_SERVER_THUMBPRINT", form(hosttest.Thumbprint(server)))
		for name, transport := range map[string]*http.Client{
			"default": nil,
			"plain":   {},
			"own":     {Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, Timeout: time.Minute},
		} {
			t.Run(name, func(t *testing.T) {
				cred := onFabric(t, transport)
				tk, err := token(t.Context(), cred)
				require.NoError(t, err)
				require.Equal(t, "the.token", tk.Token)
				got := asked.Load()
				require.Equal(t, "GET", got.Method)
				require.Equal(t, "api-version=2019-07-01-preview&resource=https%3A%2F%2Fvault.azure.net", got.URL.RawQuery)
				require.Equal(t, "canary-secret", got.Header.Get("Secret"))
				require.Equal(t, "application/json", got.Header.Get("Accept"))
				require.Equal(t, 1, got.ProtoMajor, "HTTP/2 might use connections of another client")
			})
		}
	}
}

// colons writes a thumbprint as certificate viewers do.
func colons(s string) string {
	var pairs []string
	for ; s != ""; s = s[2:] {
		pairs = append(pairs, s[:2])
	}
	return strings.Join(pairs, ":") + "\r\n"
}

// TestPin checks that nothing of a request reaches a host with another certificate, and that azhost doesn't
// retry.
func TestPin(t *testing.T) {
	for name, client := range map[string]*http.Client{"default": nil, "plain": {}, "trusting": {Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}} {
		t.Run(name, func(t *testing.T) {
			var requests, connections atomic.Int32
			fabric(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }, func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			})
			t.Setenv("IDENTITY_SERVER_THUMBPRINT", strings.Repeat("00", sha1.Size))
			_, err := token(t.Context(), onFabric(t, client))
			requireFailed(t, err)
			require.ErrorContains(t, err, "doesn't match IDENTITY_SERVER_THUMBPRINT")
			require.Zero(t, requests.Load())
			require.Equal(t, int32(1), connections.Load())
		})
	}
}

// TestPinOfNewConnections checks that the certificate of new connections is checked, because the platform
// may change it.
func TestPinOfNewConnections(t *testing.T) {
	server := fabric(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "close")
		fabricToken(w, req)
	})
	cred := onFabric(t, nil)
	_, err := token(t.Context(), cred)
	require.NoError(t, err)
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", strings.Repeat("00", sha1.Size))
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com"}})
	require.ErrorContains(t, err, "doesn't match IDENTITY_SERVER_THUMBPRINT")
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", hosttest.Thumbprint(server))
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com"}})
	require.NoError(t, err)
}

// TestPinDoesNotModifyClient checks that the TLS checks and redirects of the caller's client don't change.
func TestPinDoesNotModifyClient(t *testing.T) {
	server := fabric(t, fabricToken)
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	_, err := token(t.Context(), onFabric(t, client))
	require.NoError(t, err)
	require.Nil(t, client.CheckRedirect)
	require.Same(t, transport, client.Transport)
	_, err = client.Get(server.URL)
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

func TestServiceFabricRedirect(t *testing.T) {
	fabric(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://elsewhere.example/token", http.StatusTemporaryRedirect)
	})
	for _, client := range []*http.Client{nil, {}} {
		_, err := token(t.Context(), onFabric(t, client))
		requireFailed(t, err)
		require.ErrorContains(t, err, `refusing to follow a redirect (status 307) to "https://elsewhere.example/token"`)
	}
}

func TestServiceFabricRejections(t *testing.T) {
	for code, want := range map[string]string{
		"ManagedIdentityNotFound": "Check that the application's manifest binds an identity",
		"SecretHeaderNotFound":    "Check that IDENTITY_HEADER is",
		"InternalServerError":     "wrong resource",
		"InvalidApiVersion":       "404 Not Found: InvalidApiVersion: text",
	} {
		t.Run(code, func(t *testing.T) {
			fabric(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`{"error":{"correlationId":"c","code":"` + code + `","message":"text"}}`))
			})
			_, err := token(t.Context(), onFabric(t, nil))
			requireFailed(t, err)
			require.ErrorContains(t, err, code+": text")
			require.ErrorContains(t, err, want)
		})
	}
}

func TestServiceFabricConstructorErrors(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { panic("never") }
	for _, test := range []struct {
		name   string
		set    map[string]string
		adjust func(*azhost.ManagedIdentityCredentialOptions)
		want   string
	}{
		{"plain HTTP by option", nil, func(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = "http://localhost:2377/token" }, "not an https URL"},
		{"another transport", nil, func(o *azhost.ManagedIdentityCredentialOptions) { o.Transport = always(goodToken) }, "Transport must be nil or an *http.Client"},
		{"a nil client", nil, func(o *azhost.ManagedIdentityCredentialOptions) { o.Transport = (*http.Client)(nil) }, "Transport is a nil *http.Client"},
		{"another round tripper", nil, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Transport = &http.Client{Transport: http.NewFileTransport(http.Dir("."))}
		}, "must be nil or an *http.Transport"},
		{"TLS dialed by the caller", nil, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Transport = &http.Client{Transport: &http.Transport{DialTLSContext: dial}}
		}, "must not set DialTLS"},
		{"a caller's check", nil, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Transport = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
				VerifyConnection: func(tls.ConnectionState) error { return nil },
			}}}
		}, "must not set VerifyPeerCertificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setHost(t, azhost.SourceServiceFabric)
			for name, value := range test.set {
				t.Setenv(name, value)
			}
			var o azhost.ManagedIdentityCredentialOptions
			if test.adjust != nil {
				test.adjust(&o)
			}
			_, err := azhost.NewManagedIdentityCredential(&o)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestServiceFabricRevocation checks that a client that handles revocation says so, and that claims name
// the rejected token by its hash. Tokens for such clients are cached separately.
func TestServiceFabricRevocation(t *testing.T) {
	var asked []url.Values
	fabric(t, func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.URL.Query())
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600}`, len(asked))
	})
	cred, err := azhost.NewManagedIdentityCredential(nil)
	require.NoError(t, err)
	for _, call := range []struct {
		cae      bool
		claims   string
		requests int
		token    string
		query    map[string]string
	}{
		{true, "revoked", 1, "token-1", map[string]string{"xms_cc": "cp1"}}, // nothing was cached
		{true, "", 1, "token-1", nil},
		{false, "", 2, "token-2", map[string]string{}},
		{true, "revoked", 3, "token-3", map[string]string{"xms_cc": "cp1", "token_sha256_to_refresh": ""}},
		{true, "", 3, "token-3", nil},
		{false, "", 3, "token-2", nil},
	} {
		tk, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault}, EnableCAE: call.cae, Claims: call.claims})
		require.NoError(t, err)
		require.Equal(t, call.token, tk.Token)
		require.Len(t, asked, call.requests)
		if call.query == nil {
			continue
		}
		want := url.Values{"api-version": {"2019-07-01-preview"}, "resource": {vault}}
		for name, value := range call.query {
			want.Set(name, value)
		}
		if want.Has("token_sha256_to_refresh") {
			want.Set("token_sha256_to_refresh", fmt.Sprintf("%x", sha256.Sum256([]byte("token-1"))))
		}
		require.Equal(t, want, asked[len(asked)-1])
	}
}

// TestServiceFabricInvalidate checks that Invalidate drops tokens for clients that handle revocation and for
// those that don't.
func TestServiceFabricInvalidate(t *testing.T) {
	n := 0
	fabric(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3600}`, n)
	})
	cred, err := azhost.NewManagedIdentityCredential(nil)
	require.NoError(t, err)
	for _, cae := range []bool{false, true} {
		options := policy.TokenRequestOptions{Scopes: []string{vault}, EnableCAE: cae}
		first, err := cred.GetToken(t.Context(), options)
		require.NoError(t, err)
		cred.Invalidate(first.Token)
		second, err := cred.GetToken(t.Context(), options)
		require.NoError(t, err)
		require.NotEqual(t, first.Token, second.Token)
	}
}
