// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// span is one that a test's tracer has started.
type span struct {
	name   string
	parent *span
	ended  bool
	orphan bool // its parent ended before it started
}

// spanKey is the key of a context's span.
type spanKey struct{}

// tracer records its spans.
type tracer struct {
	mu    sync.Mutex
	spans []*span
}

func (tr *tracer) provider() tracing.Provider {
	return tracing.NewProvider(func(_, _ string) tracing.Tracer {
		return tracing.NewTracer(func(ctx context.Context, name string, _ *tracing.SpanOptions) (context.Context, tracing.Span) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			s := &span{name: name}
			if s.parent, _ = ctx.Value(spanKey{}).(*span); s.parent != nil {
				s.orphan = s.parent.ended
			}
			tr.spans = append(tr.spans, s)
			return context.WithValue(ctx, spanKey{}, s), tracing.NewSpan(tracing.SpanImpl{
				End: func() {
					tr.mu.Lock()
					defer tr.mu.Unlock()
					s.ended = true
				},
			})
		}, nil)
	}, nil)
}

// TestFlightIgnoresClientContext checks that a token request uses nothing of the context of an azcore
// client's operation: its span, retry options, headers, and captured response. The request may outlive the
// operation, and the race detector would report such a use.
func TestFlightIgnoresClientContext(t *testing.T) {
	for name, stale := range map[string]bool{"stale token": true, "canceled first caller": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var headers []http.Header
				failing := false
				imds := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
					headers = append(headers, req.Header)
					time.Sleep(time.Second)
					if failing {
						failing = false
						return answer(500, "", "Server: IMDS/1.0")(req)
					}
					return goodToken(req)
				}}
				var traced tracer
				cred := onVM(t, imds, known, func(o *azhost.ManagedIdentityCredentialOptions) { o.TracingProvider = traced.provider() })
				if stale {
					_, err := token(t.Context(), cred)
					require.NoError(t, err)
					time.Sleep(13 * time.Hour)
				}
				failing = stale // so that the flight retries on its own schedule

				client, err := azcore.NewClient("test", "v1.0.0", azruntime.PipelineOptions{
					PerRetry: []policy.Policy{policyFunc(func(req *policy.Request) (*http.Response, error) {
						if _, err := token(req.Raw().Context(), cred); err != nil {
							return nil, err
						}
						return req.Next()
					})},
					Tracing: azruntime.TracingOptions{Namespace: "Test"},
				}, &policy.ClientOptions{
					TracingProvider: traced.provider(),
					Transport:       always(answer(204, "", "Service: yes")),
				})
				require.NoError(t, err)
				operation := func(ctx context.Context) (*http.Response, error) {
					var captured *http.Response
					ctx = policy.WithCaptureResponse(ctx, &captured)
					ctx = policy.WithHTTPHeader(ctx, http.Header{"Metadata": {"false"}, "X-Of-The-Client": {"yes"}})
					ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1, TryTimeout: 100 * time.Millisecond})
					ctx, end := azruntime.StartSpan(ctx, "Operation", client.Tracer(), nil)
					req, err := azruntime.NewRequest(ctx, http.MethodGet, "https://service")
					require.NoError(t, err)
					_, err = client.Pipeline().Do(req)
					end(err)
					return captured, err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				captured, err := operation(ctx)
				if stale {
					require.NoError(t, err)
					require.Equal(t, "yes", captured.Header.Get("Service"))
				} else {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Nil(t, captured)
				}
				time.Sleep(time.Minute) // the request continues without its caller
				synctest.Wait()
				before := imds.Requests()
				_, err = token(t.Context(), cred)
				require.NoError(t, err)
				require.Equal(t, before, imds.Requests(), "the request returned no token")
				for _, h := range headers {
					require.Equal(t, []string{"true"}, h["Metadata"])
					require.Empty(t, h["X-Of-The-Client"])
				}
				traced.mu.Lock()
				defer traced.mu.Unlock()
				fetches := 0
				for _, s := range traced.spans {
					require.False(t, s.orphan, "%s is a child of a span that has ended", s.name)
					require.True(t, s.ended, s.name)
					if s.name == "ManagedIdentityCredential.fetch" {
						fetches++
						require.Nil(t, s.parent, "the request's span is a child of a caller's")
					}
				}
				require.Equal(t, map[bool]int{true: 2, false: 1}[stale], fetches)
			})
		})
	}
}
