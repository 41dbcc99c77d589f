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

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// hostileContext is a context with one method that misbehaves from its n-th call on.
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

// hostileError is an error whose Error method misbehaves.
type hostileError struct{ do func() }

func (e hostileError) Error() string { e.do(); return "" }

// selfish is an error whose Error method panics with the error itself.
type selfish struct{}

func (s selfish) Error() string { panic(s) }

// getVault calls GetToken on a new goroutine and returns its error, or nil if the call ends the goroutine.
func getVault(ctx context.Context, cred *azhost.ManagedIdentityCredential) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err = token(ctx, cred)
	}()
	<-done
	return err
}

// TestHostileContext checks that a caller whose context panics gets an error that says so. Callers that
// share its flight get the token, whichever of them came first.
func TestHostileContext(t *testing.T) {
	const callersPanic = "panic in the caller's context"
	boom := func() { panic("boom") }
	calling := func(method string, after int, do func()) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return &hostileContext{ctx, method, after, do} }
	}
	for name, test := range map[string]struct {
		ctx   func(context.Context) context.Context
		want  string        // in its error; "" for a token or a goroutine that ended
		after time.Duration // when it ends
	}{
		"nil":                     {func(context.Context) context.Context { return nil }, "nil context", 10 * time.Second},
		"nil pointer":             {func(context.Context) context.Context { return (*hostileContext)(nil) }, callersPanic, 10 * time.Second},
		"Deadline panics":         {calling("Deadline", 0, boom), "", 10 * time.Second},
		"Done panics":             {calling("Done", 0, boom), callersPanic, 10 * time.Second},
		"Err panics":              {calling("Err", 0, boom), callersPanic, 10 * time.Second},
		"Err panics at the end":   {calling("Err", 1, boom), callersPanic, time.Second},
		"Value panics":            {calling("Value", 0, boom), callersPanic, 10 * time.Second},
		"Done ends the goroutine": {calling("Done", 0, runtime.Goexit), "", 10 * time.Second},
		"Err ends the goroutine":  {calling("Err", 1, runtime.Goexit), "", time.Second},
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

// TestHostileObservers checks that whatever a handler or an Observe function does, callers get their token,
// or the host's failure, without waiting for it.
func TestHostileObservers(t *testing.T) {
	for name, do := range map[string]func(cred *azhost.ManagedIdentityCredential, release <-chan struct{}){
		"calls GetToken": func(cred *azhost.ManagedIdentityCredential, _ <-chan struct{}) {
			_, _ = token(context.Background(), cred)
		},
		"invalidates":        func(cred *azhost.ManagedIdentityCredential, _ <-chan struct{}) { cred.Invalidate("the.token") },
		"never returns":      func(_ *azhost.ManagedIdentityCredential, release <-chan struct{}) { <-release },
		"panics":             func(*azhost.ManagedIdentityCredential, <-chan struct{}) { panic("boom") },
		"panics with itself": func(*azhost.ManagedIdentityCredential, <-chan struct{}) { panic(selfish{}) },
		"ends the goroutine": func(*azhost.ManagedIdentityCredential, <-chan struct{}) { runtime.Goexit() },
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

// TestHostileUnavailableError checks that a panic in UnavailableError affects only its credential.
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
