// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// withDefaultTransport are a fake's options over loopback, with the transport that users get.
func withDefaultTransport(o *azhost.ManagedIdentityCredentialOptions) *azhost.ManagedIdentityCredentialOptions {
	o.Transport = nil
	return o
}

func TestRedirectIsRefused(t *testing.T) {
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
			for name, transport := range map[string]policy.Transporter{"own client": nil, "a client that follows": &http.Client{}} {
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
		"headers without end": func(w http.ResponseWriter, r *http.Request) {
			for n := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
			}
		},
		"gzip is not unpacked": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("compression was asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("\x1f\x8b\x08"))
		},
		"a body without end": func(w http.ResponseWriter, r *http.Request) {
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
