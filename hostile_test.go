// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

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

// hostileContext is a context with one method that does something else from its n-th call on.
type hostileContext struct {
	context.Context
	method string
	after  int
	do     func()
}

func (c *hostileContext) call(method string) {
	if c.method != method {
		return
	}
	if c.after--; c.after < 0 {
		c.do()
	}
}

func (c *hostileContext) Deadline() (time.Time, bool) {
	c.call("Deadline")
	return c.Context.Deadline()
}

func (c *hostileContext) Done() <-chan struct{} {
	c.call("Done")
	return c.Context.Done()
}

func (c *hostileContext) Err() error {
	c.call("Err")
	return c.Context.Err()
}

func (c *hostileContext) Value(key any) any {
	c.call("Value")
	return c.Context.Value(key)
}

// hostileError is an error that can't be read.
type hostileError struct{ do func() }

func (e hostileError) Error() string { e.do(); return "" }

// selfish is an error whose Error method panics with the error itself.
type selfish struct{}

func (s selfish) Error() string { panic(s) }

// ask calls GetToken on a goroutine that may end, and returns its error, nil after such an end.
func getVault(ctx context.Context, cred *azhost.ManagedIdentityCredential) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err = token(ctx, cred)
	}()
	<-done
	return err
}

// TestHostileContext: a caller whose context panics gets an error that says so. Those who share the
// flight with it get the token, whoever came first.
func TestHostileContext(t *testing.T) {
	const callersPanic = "panic in the caller's context"
	boom := func() { panic("boom") }
	calling := func(method string, after int, do func()) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return &hostileContext{ctx, method, after, do} }
	}
	for name, test := range map[string]struct {
		ctx   func(context.Context) context.Context
		want  string        // in its error; "" for a token, or for the end of the goroutine
		after time.Duration // when it ends
	}{
		"nil":                   {func(context.Context) context.Context { return nil }, "nil context", 10 * time.Second},
		"nil pointer":           {func(context.Context) context.Context { return (*hostileContext)(nil) }, callersPanic, 10 * time.Second},
		"Deadline panics":       {calling("Deadline", 0, boom), "", 10 * time.Second},
		"Done panics":           {calling("Done", 0, boom), callersPanic, 10 * time.Second},
		"Err panics":            {calling("Err", 0, boom), callersPanic, 10 * time.Second},
		"Err panics at the end": {calling("Err", 1, boom), callersPanic, time.Second},
		"Value panics":          {calling("Value", 0, boom), callersPanic, 10 * time.Second},
		"Done ends the routine": {calling("Done", 0, runtime.Goexit), "", 10 * time.Second},
		"Err ends the routine":  {calling("Err", 1, runtime.Goexit), "", time.Second},
		"its cause panics": {func(ctx context.Context) context.Context {
			own, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(time.Second, func() { cancel(hostileError{boom}) })
			return own
		}, callersPanic, 10 * time.Second},
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", first: ", first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					imds := always(func(req *http.Request) (*http.Response, error) {
						time.Sleep(5 * time.Second)
						return goodToken(req)
					})
					cred := onVM(t, imds)
					var all sync.WaitGroup
					hostile := func() {
						all.Go(func() {
							limited, cancel := context.WithTimeout(t.Context(), test.after)
							defer cancel()
							err := getVault(test.ctx(limited), cred)
							if test.want == "" {
								require.NoError(t, err)
							} else {
								require.ErrorContains(t, requireFailed(t, err), test.want)
							}
						})
						synctest.Wait()
					}
					if first {
						hostile()
					}
					for range 3 {
						all.Go(func() {
							_, err := token(t.Context(), cred)
							require.NoError(t, err)
						})
					}
					synctest.Wait()
					if !first {
						hostile()
					}
					all.Wait()
					require.Equal(t, 1, imds.Requests())

					time.Sleep(24*time.Hour - 30*time.Second) // the token is dying, and a call waits for its refresh
					_ = getVault(test.ctx(t.Context()), cred)
					_, err := token(t.Context(), cred)
					require.NoError(t, err)
					time.Sleep(10 * time.Second)
					require.Equal(t, 2, imds.Requests())
				})
			})
		}
	}
}

// lineHandler is a slog.Handler that does something for every line of a request.
type lineHandler struct {
	slog.Handler
	do func()
}

func (lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "azhost: host found" {
		h.do()
	}
	return nil
}

func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// TestHostileObservers: a handler or an Observe function can do what it likes; callers get their
// token, or the host's failure, without waiting for it.
func TestHostileObservers(t *testing.T) {
	for name, do := range map[string]func(cred *azhost.ManagedIdentityCredential, release <-chan struct{}){
		"asks for a token": func(cred *azhost.ManagedIdentityCredential, _ <-chan struct{}) {
			_, _ = token(context.Background(), cred)
		},
		"invalidates":      func(cred *azhost.ManagedIdentityCredential, _ <-chan struct{}) { cred.Invalidate("the.token") },
		"never returns":    func(_ *azhost.ManagedIdentityCredential, release <-chan struct{}) { <-release },
		"panics":           func(*azhost.ManagedIdentityCredential, <-chan struct{}) { panic("boom") },
		"panics with self": func(*azhost.ManagedIdentityCredential, <-chan struct{}) { panic(selfish{}) },
		"ends the routine": func(*azhost.ManagedIdentityCredential, <-chan struct{}) { runtime.Goexit() },
	} {
		for _, where := range []string{"Logger", "Observe"} {
			for _, down := range []bool{false, true} {
				t.Run(fmt.Sprint(where, " ", name, ", host down: ", down), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						host := goodToken
						if down {
							host = answer(403, `{"error":"no"}`, "Server: IMDS/1.0")
						}
						imds := always(func(req *http.Request) (*http.Response, error) {
							time.Sleep(time.Second)
							return host(req)
						})
						release := make(chan struct{})
						var cred *azhost.ManagedIdentityCredential
						var mu sync.Mutex
						called := 0
						hostile := func() {
							mu.Lock()
							called++
							mu.Unlock()
							do(cred, release)
						}
						cred = onVM(t, imds, func(o *azhost.ManagedIdentityCredentialOptions) {
							if where == "Logger" {
								o.Logger = slog.New(lineHandler{slog.DiscardHandler, hostile})
							} else {
								o.Observe = func(azhost.Event) { hostile() }
							}
						})
						neighbor := onVM(t, imds) // shares the cache
						start := time.Now()
						var all sync.WaitGroup
						for _, c := range []*azhost.ManagedIdentityCredential{cred, cred, neighbor} {
							all.Go(func() {
								_, err := token(t.Context(), c)
								require.Equal(t, down, err != nil)
								require.Equal(t, time.Second, time.Since(start))
							})
							synctest.Wait()
						}
						all.Wait()
						synctest.Wait()
						require.Equal(t, 1, imds.Requests())
						mu.Lock()
						require.NotZero(t, called)
						mu.Unlock()
						close(release)
					})
				})
			}
		}
	}
}

// TestTransportThatAsks: a Transport or policy that asks its own credential with the context of the
// request gets an error at once, and the request goes on.
func TestTransportThatAsks(t *testing.T) {
	for _, scope := range []string{vault, "https://storage.azure.com"} {
		for _, where := range []string{"Transport", "PerCallPolicies", "PerRetryPolicies"} {
			t.Run(where+" asks for "+scope, func(t *testing.T) {
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

// TestPolicyThatAsksAnotherCredential: it waits for no request of its own.
func TestPolicyThatAsksAnotherCredential(t *testing.T) {
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

// withPolicy adds a policy where the options have such a field.
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

// TestTransportThatWaitsForItself: with a context of its own no one can tell who asks, so the request
// waits for itself until its time is over. Other resources get their tokens, and so does this one when
// the Transport no longer asks.
func TestTransportThatWaitsForItself(t *testing.T) {
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

// TestTransportThatAsksForAnother: with a context of its own a Transport may ask for the token of
// another resource, as a proxy that needs one does.
func TestTransportThatAsksForAnother(t *testing.T) {
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

// TestTransportThatNeverReturns: its callers get an error that says so, and four of them don't keep
// the endpoint from everyone else, whatever the TryTimeout.
func TestTransportThatNeverReturns(t *testing.T) {
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
					require.Less(t, time.Since(start), 10*time.Minute, "the slots are taken for good")
					time.Sleep(2 * time.Second)
				}
				require.LessOrEqual(t, time.Since(start), 200*time.Second)
				if tryTimeout == 0 {
					require.Equal(t, 70*time.Second, time.Since(start))
				}
				all.Wait()
				close(release) // and the answers come after all
				synctest.Wait()
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
			})
		})
	}
}

// TestHostileTransport: whatever a Transport or policy does in its request, those who share it get an
// error that says so, and the next request is served.
func TestHostileTransport(t *testing.T) {
	type response = func() (*http.Response, error)
	for name, test := range map[string]struct {
		do   response
		want string
	}{
		"ends the routine":           {func() (*http.Response, error) { runtime.Goexit(); return nil, nil }, "ended the goroutine of the request"},
		"panics":                     {func() (*http.Response, error) { panic("boom") }, "a policy or Transport panicked: boom"},
		"panics with nil":            {func() (*http.Response, error) { panic(nil) }, "a policy or Transport panicked"},
		"panics with a hostile text": {func() (*http.Response, error) { panic(hostileError{func() { panic("boom") }}) }, "a policy or Transport panicked"},
		"panics with a selfish one":  {func() (*http.Response, error) { panic(selfish{}) }, "a policy or Transport panicked: azhost_test.selfish"},
		"panics with a text that ends the routine": {
			func() (*http.Response, error) { panic(hostileError{runtime.Goexit}) }, "ended the goroutine of the request",
		},
		"error panics":                  {func() (*http.Response, error) { return nil, hostileError{func() { panic("boom") }} }, "a policy or Transport panicked: boom"},
		"error panics with itself":      {func() (*http.Response, error) { return nil, selfish{} }, "a policy or Transport panicked: azhost_test.selfish"},
		"error ends the routine":        {func() (*http.Response, error) { return nil, hostileError{runtime.Goexit} }, "ended the goroutine of the request"},
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

// hostileBody is a body that can't be read.
type hostileBody struct{}

func (hostileBody) Read([]byte) (int, error) { panic("body") }
func (hostileBody) Close() error             { return nil }

// TestHostileUnavailableError: it harms its own credential alone.
func TestHostileUnavailableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		imds := always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return refusedDial(req)
		})
		hostile := onVM(t, imds, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.UnavailableError = func(string) error { panic("boom") }
		})
		neighbor := onVM(t, imds)
		var all sync.WaitGroup
		all.Go(func() {
			_, err := token(t.Context(), hostile)
			require.ErrorContains(t, requireFailed(t, err), "panic in the caller's context, tracer or UnavailableError: boom")
		})
		synctest.Wait()
		all.Go(func() {
			_, err := token(t.Context(), neighbor)
			requireUnavailable(t, err)
		})
		all.Wait()
		require.Equal(t, 1, imds.Requests())
	})
}
