// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestTransportCallsGetToken checks that a Transport or policy that calls GetToken of its own credential
// with the request's context gets an error at once, and that the request continues.
func TestTransportCallsGetToken(t *testing.T) {
	for _, scope := range []string{vault, "https://storage.azure.com"} {
		for _, where := range []string{"Transport", "PerCallPolicies", "PerRetryPolicies"} {
			t.Run(where+" requests "+scope, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var cred *azhost.ManagedIdentityCredential
					asks := func(ctx context.Context) {
						_, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
						require.ErrorContains(t, requireFailed(t, err), "by a policy or Transport")
					}
					imds := always(func(req *http.Request) (*http.Response, error) {
						if where == "Transport" {
							asks(req.Context())
						}
						return goodToken(req)
					})
					cred = onVM(t, imds, withPolicy(where, func(req *policy.Request) (*http.Response, error) {
						asks(req.Raw().Context())
						return req.Next()
					}))
					_, err := token(t.Context(), cred)
					require.NoError(t, err)
					require.Equal(t, 1, imds.Requests())
				})
			})
		}
	}
}

// TestPolicyUsesAnotherCredential checks that a policy can get a token from another credential, because it
// doesn't wait for its own request.
func TestPolicyUsesAnotherCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := onVM(t, always(goodToken))
		imds := always(goodToken)
		cred := onVM(t, imds, withPolicy("PerCallPolicies", func(req *policy.Request) (*http.Response, error) {
			tk, err := token(req.Raw().Context(), other)
			require.NoError(t, err)
			require.NotEmpty(t, tk.Token)
			return req.Next()
		}))
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		require.Equal(t, 1, imds.Requests())
	})
}

// withPolicy adds a policy to the options, at the given place.
func withPolicy(where string, f policyFunc) func(*azhost.ManagedIdentityCredentialOptions) {
	return func(o *azhost.ManagedIdentityCredentialOptions) {
		switch where {
		case "PerCallPolicies":
			o.PerCallPolicies = []policy.Policy{f}
		case "PerRetryPolicies":
			o.PerRetryPolicies = []policy.Policy{f}
		}
	}
}

// TestTransportDeadlock checks a Transport that calls GetToken with a new context. azhost can't recognize
// that, so the request waits for itself until its deadline. Other resources get their tokens, and so does
// this one when the Transport stops calling GetToken.
func TestTransportDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cred *azhost.ManagedIdentityCredential
		asks := true
		imds := always(func(req *http.Request) (*http.Response, error) {
			if asks && req.URL.Query().Get("resource") == vault {
				_, err := token(context.Background(), cred)
				return nil, err
			}
			return goodToken(req)
		})
		cred = onVM(t, imds)
		start := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := token(t.Context(), cred)
				require.ErrorContains(t, requireFailed(t, err), "a policy or Transport did not return")
				require.Equal(t, 190*time.Second, time.Since(start))
			})
		}
		synctest.Wait()
		for n := range 10 {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n)}})
			require.NoError(t, err)
			require.Zero(t, time.Since(start))
		}
		all.Wait()
		asks = false
		time.Sleep(2 * time.Second)
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
	})
}

// TestTransportRequestsAnotherResource checks that with a new context, a Transport can get a token for
// another resource, for example for a proxy.
func TestTransportRequestsAnotherResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cred *azhost.ManagedIdentityCredential
		imds := always(func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Get("resource") == vault {
				_, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://proxy"}})
				require.NoError(t, err)
			}
			return goodToken(req)
		})
		cred = onVM(t, imds)
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		require.Equal(t, 2, imds.Requests())
	})
}

// TestTransportNeverReturns checks that callers of a Transport that never returns get an error that says
// so, and that four such calls don't block the endpoint for others, whatever the TryTimeout.
func TestTransportNeverReturns(t *testing.T) {
	for name, tryTimeout := range map[string]time.Duration{"default": 0, "a day": 24 * time.Hour, "none": -1, "the longest": 1<<63 - 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				imds := always(func(req *http.Request) (*http.Response, error) {
					if req.URL.Query().Get("resource") == vault+"/stuck" {
						<-release
					}
					return goodToken(req)
				})
				start := time.Now()
				var all sync.WaitGroup
				for n := range 4 { // four identities, which share the endpoint
					stuck := onVM(t, imds, func(o *azhost.ManagedIdentityCredentialOptions) {
						o.ID, o.Retry.TryTimeout = azhost.ClientID(fmt.Sprint(n)), tryTimeout
						o.Logger = slog.New(lineHandler{slog.DiscardHandler, func() {}})
					})
					all.Go(func() {
						_, err := stuck.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault + "/stuck"}})
						require.ErrorContains(t, requireFailed(t, err), "a policy or Transport did not return within 3m10s")
						require.ErrorIs(t, err, context.DeadlineExceeded)
						require.Equal(t, 190*time.Second, time.Since(start))
					})
				}
				synctest.Wait()
				require.Equal(t, 4, imds.Requests())
				cred := onVM(t, imds)
				for { // until the leases are over
					if _, err := token(t.Context(), cred); err == nil {
						break
					}
					require.Less(t, time.Since(start), 10*time.Minute, "the slots were never released")
					time.Sleep(2 * time.Second)
				}
				require.LessOrEqual(t, time.Since(start), 200*time.Second)
				if tryTimeout == 0 {
					require.Equal(t, 70*time.Second, time.Since(start))
				}
				all.Wait()
				close(release) // the responses arrive late
				synctest.Wait()
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
			})
		})
	}
}

// TestHostileTransport checks that whatever a Transport or policy does in its request, the callers get an
// error that describes it, and the next request succeeds.
func TestHostileTransport(t *testing.T) {
	type response = func() (*http.Response, error)
	for name, test := range map[string]struct {
		do   response
		want string
	}{
		"ends the goroutine":         {func() (*http.Response, error) { runtime.Goexit(); return nil, nil }, "ended the goroutine of the request"},
		"panics":                     {func() (*http.Response, error) { panic("boom") }, "a policy or Transport panicked: boom"},
		"panics with nil":            {func() (*http.Response, error) { panic(nil) }, "a policy or Transport panicked"},
		"panics with a hostile text": {func() (*http.Response, error) { panic(hostileError{func() { panic("boom") }}) }, "a policy or Transport panicked"},
		"panics with itself":         {func() (*http.Response, error) { panic(selfish{}) }, "a policy or Transport panicked: callers.selfish"},
		"panics with a text that ends the goroutine": {
			func() (*http.Response, error) { panic(hostileError{runtime.Goexit}) }, "ended the goroutine of the request",
		},
		"error panics":                  {func() (*http.Response, error) { return nil, hostileError{func() { panic("boom") }} }, "a policy or Transport panicked: boom"},
		"error panics with itself":      {func() (*http.Response, error) { return nil, selfish{} }, "a policy or Transport panicked: callers.selfish"},
		"error ends the goroutine":      {func() (*http.Response, error) { return nil, hostileError{runtime.Goexit} }, "ended the goroutine of the request"},
		"neither response nor error":    {func() (*http.Response, error) { return nil, nil }, "neither a response nor an error"},
		"body panics":                   {func() (*http.Response, error) { return &http.Response{StatusCode: 200, Body: hostileBody{}}, nil }, "a policy or Transport panicked: body"},
		"nothing but an empty response": {func() (*http.Response, error) { return new(http.Response), nil }, ""},
	} {
		for _, where := range []string{"Transport", "PerCallPolicies", "PerRetryPolicies"} {
			t.Run(where+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hostile := true
					imds := always(func(req *http.Request) (*http.Response, error) {
						if where == "Transport" && hostile {
							time.Sleep(time.Second)
							return test.do()
						}
						return goodToken(req)
					})
					cred := onVM(t, imds, withPolicy(where, func(req *policy.Request) (*http.Response, error) {
						if hostile {
							time.Sleep(time.Second)
							return test.do()
						}
						return req.Next()
					}), func(o *azhost.ManagedIdentityCredentialOptions) {
						o.Logger = slog.New(lineHandler{slog.DiscardHandler, func() {}})
					})
					start := time.Now()
					var all sync.WaitGroup
					for range 3 {
						all.Go(func() {
							_, err := token(t.Context(), cred)
							require.Error(t, err)
							require.ErrorContains(t, err, test.want)
							require.Equal(t, time.Second, time.Since(start))
						})
					}
					all.Wait()
					hostile = false
					time.Sleep(2 * time.Second)
					_, err := token(t.Context(), cred)
					require.NoError(t, err)
				})
			})
		}
	}
}

// hostileBody is a body whose Read panics.
type hostileBody struct{}

func (hostileBody) Read([]byte) (int, error) { panic("body") }

func (hostileBody) Close() error { return nil }

// TestErrorOfAnotherCredential checks that if a policy or Transport returns the error of another
// credential, azhost doesn't take it for a failure of this host, and returns an error with its text that
// wraps it.
func TestErrorOfAnotherCredential(t *testing.T) {
	for name, other := range map[string]func(*http.Request) (*http.Response, error){
		"refused connection": refusedDial,
		"silent":             droppedDial,
		"a rejection":        answer(403, "not you", "Server: IMDS/1.0"),
		"a foreign response": answer(200, "<html>"),
		"a redirect":         answer(302, "", "Location: http://elsewhere/"),
		"throttled":          answer(429, "", "Retry-After: 100"),
	} {
		for _, where := range []string{"Transport", "PerCallPolicies", "PerRetryPolicies"} {
			for _, source := range []azhost.Source{azhost.SourceIMDS, azhost.SourceAzureArc, azhost.SourceAppService} {
				inBubble(t, fmt.Sprint(name, " in ", where, " on ", source), platforms[source], func(t *testing.T) {
					proxy := onVM(t, always(other))
					_, cause := token(t.Context(), proxy)
					require.Error(t, cause)
					ask := func(context.Context) error {
						_, err := token(context.Background(), proxy)
						return fmt.Errorf("the proxy's token: %w", err)
					}
					w := always(func(req *http.Request) (*http.Response, error) {
						if where == "Transport" {
							return nil, ask(req.Context())
						}
						return goodToken(req)
					})
					cred := credential(t, w, withPolicy(where, func(req *policy.Request) (*http.Response, error) {
						return nil, ask(req.Raw().Context())
					}), func(o *azhost.ManagedIdentityCredentialOptions) {
						o.Source, o.ArcKeyDirectory = source, t.TempDir()
						if source == azhost.SourceIMDS {
							o.Endpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
						}
					})
					_, err := token(t.Context(), cred)
					failed, ok := err.(*azhost.AuthenticationFailedError)
					require.True(t, ok, "%T: %v", err, err)
					require.ErrorContains(t, err, "the proxy's token: "+cause.Error())
					require.Nil(t, failed.RawResponse, "another host's response")
					require.LessOrEqual(t, w.Requests(), 1)
				})
			}
		}
	}
}

// TestTransportRequestsAnotherIdentity checks that such a call fails. It holds a slot of the endpoint, and
// four of them would wait for each other.
func TestTransportRequestsAnotherIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var other *azhost.ManagedIdentityCredential
		imds := always(func(req *http.Request) (*http.Response, error) {
			_, err := token(req.Context(), other)
			require.ErrorContains(t, requireFailed(t, err), "by a policy or Transport")
			return goodToken(req)
		})
		cred := onVM(t, imds)
		other = onVM(t, imds, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("another") })
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		require.Equal(t, 1, imds.Requests())
	})
}
