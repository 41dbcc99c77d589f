// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
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

func TestClientOptionsAreHonoured(t *testing.T) {
	vm := azhosttest.NewVM(t)
	o := vm.InMemory()
	count := new(counter)
	o.PerCallPolicies = []policy.Policy{count}
	o.PerRetryPolicies = []policy.Policy{count}
	o.Telemetry.ApplicationID = "my-app"
	o.APIVersion = "1999-01-01" // the host's business
	o.Retry.MaxRetries = -1
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	vm.Fail(azhosttest.Fault{Drop: true})
	_, err = token(t.Context(), cred)
	requireUnavailable(t, err)
	require.EqualValues(t, 2, count.n.Load())
	require.Equal(t, "1999-01-01", o.APIVersion, "the caller's options were changed")
	require.Regexp(t, `^my-app azsdk-go-azhost/v\d+\.\d+\.\d+ `, vm.Requests()[0].Header.Get("User-Agent"))
	require.Equal(t, []string{"2018-02-01"}, vm.Requests()[0].Query["api-version"])
}

type counter struct{ n atomic.Int32 }

func (c *counter) Do(req *policy.Request) (*http.Response, error) {
	c.n.Add(1)
	return req.Next()
}

// TestNoSecretIsWritten drives both hosts through successes and failures with everything that
// writes switched on, and searches what was written for keys and tokens.
func TestNoSecretIsWritten(t *testing.T) {
	var written safeBuffer
	log.SetListener(func(_ log.Event, text string) { fmt.Fprintln(&written, text) })
	t.Cleanup(func() { log.SetListener(nil) })
	keys := t.TempDir()
	key := filepath.Join(keys, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("canary-key"), 0o600))
	challenge := answer(401, "", "WWW-Authenticate: Basic realm="+key)
	for _, test := range []struct {
		name   string
		source azhost.Source
		answer func(*http.Request) (*http.Response, error)
	}{
		{"token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_in":"3600"}`)},
		{"expired token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_on":"1700000000"}`)},
		{"broken token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_in":"3600"`, "Server: IMDS/1.0")},
		{"token and key", azhost.SourceAzureArc, answer(200, `{"access_token":"canary-token","expires_in":"3600"}`)},
		{"key sent back", azhost.SourceAzureArc, answer(500, `{"error":"x","error_description":"not canary-key"}`, "x-ms-request-id: canary-key")},
		{"key sent back, spelled in another way", azhost.SourceAzureArc, answer(500, `{"error":"x","error_description":"not canary\u002dke\u0079"}`)},
		{"key for an identity", azhost.SourceAzureArc, answer(200, `{"access_token":"x","expires_in":"60","client_id":"canary-key"}`)},
		{"key refused", azhost.SourceAzureArc, challenge},
		{"key in a redirect", azhost.SourceAzureArc, answer(302, "", "Location: http://127.0.0.1/canary-key")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := always(func(req *http.Request) (*http.Response, error) {
				if test.source == azhost.SourceAzureArc && req.Header.Get("Authorization") == "" {
					return challenge(req)
				}
				resp, err := test.answer(req)
				resp.Header.Set("Content-Type", "application/json") // without which azcore logs no body
				return resp, err
			})
			o := arcOptions(w, keys)
			o.Source = test.source
			o.Logger = slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Logging.IncludeBody = true
			o.Logging.AllowedHeaders = []string{"authorization", "Metadata"}
			o.Retry.MaxRetries = -1
			o.TracingProvider = spans(&written)
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			require.Equal(t, []string{"authorization", "Metadata"}, o.Logging.AllowedHeaders, "the caller's options were changed")
			_, err = token(t.Context(), cred)
			fmt.Fprintf(&written, "%v\n%+v\n", err, err)
			if err != nil {
				if failed := requireFailed(t, err); failed.RawResponse != nil {
					fmt.Fprintln(&written, failed.RawResponse, failed.RawResponse.Request)
					_, _ = written.ReadFrom(failed.RawResponse.Body)
				}
			}
		})
	}
	text := written.String()
	for _, want := range []string{"ManagedIdentityCredential.GetToken", "token acquired", "token request failed", "Authorization"} {
		require.True(t, strings.Contains(text, want), "%s: the test no longer sees what it searches", want)
	}
	if before, after, found := strings.Cut(text, "canary"); found {
		t.Fatalf("a secret was written: %s>>> canary%.50s", before[max(0, len(before)-500):], after)
	}
}

// spans is a provider whose spans write all that they are told.
func spans(w *safeBuffer) tracing.Provider {
	return tracing.NewProvider(func(name, version string) tracing.Tracer {
		return tracing.NewTracer(func(ctx context.Context, span string, o *tracing.SpanOptions) (context.Context, tracing.Span) {
			fmt.Fprintln(w, name, span, o)
			return ctx, tracing.NewSpan(tracing.SpanImpl{
				End:           func() {},
				SetAttributes: func(a ...tracing.Attribute) { fmt.Fprintln(w, a) },
				AddEvent:      func(event string, a ...tracing.Attribute) { fmt.Fprintln(w, event, a) },
				SetStatus:     func(_ tracing.SpanStatus, text string) { fmt.Fprintln(w, text) },
			})
		}, nil)
	}, nil)
}
