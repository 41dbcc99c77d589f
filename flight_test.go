// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

func TestColdCallersShareFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		var herd sync.WaitGroup
		for range 1000 {
			herd.Go(func() {
				token, err := r.want(t.Context(), "r", "")
				require.NoError(t, err)
				require.Equal(t, "r#1", token.Token)
			})
		}
		herd.Wait()
		require.Equal(t, 1, r.count())
	})
}

func TestResourcesInParallel(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Second })
		start := time.Now()
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				_, err := r.want(t.Context(), fmt.Sprint(n), "")
				require.NoError(t, err)
			})
		}
		all.Wait()
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 20, r.count())
	})
}

func TestCallersCancelSeparately(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		type key struct{}
		r.fetch = func(ctx context.Context, resource string) (azcore.AccessToken, error) {
			require.Nil(t, ctx.Value(key{}))
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, flightDeadline, time.Until(deadline))
			select {
			case <-time.After(time.Minute):
				return azcore.AccessToken{Token: "late", ExpiresOn: time.Now().Add(time.Hour)}, nil
			case <-ctx.Done():
				return azcore.AccessToken{}, ctx.Err()
			}
		}
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "of the first caller"), time.Second)
			defer cancel()
			_, err := r.want(ctx, "r", "")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(start))
		})
		synctest.Wait()
		callers.Go(func() {
			token, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
			require.Equal(t, "late", token.Token)
			require.Equal(t, time.Minute, time.Since(start))
		})
		callers.Wait()
		require.Equal(t, 1, r.count())
	})
}

// TestAttemptOutlivesItsCallers checks that a host that takes 12 s can respond although its callers, one
// after another, time out after 10 s.
func TestAttemptOutlivesItsCallers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = 12 * time.Second })
		ask := func() (azcore.AccessToken, error) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("own reason"))
			defer cancel()
			return r.want(ctx, "r", "")
		}
		_, err := ask()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "own reason")
		token, err := ask()
		require.NoError(t, err)
		require.Equal(t, "r#1", token.Token)
		require.Equal(t, 1, r.count())
	})
}

// TestNoAttemptAfterLastCaller checks that no attempt starts after the last caller has left, neither after
// a failed attempt nor after a pause.
func TestNoAttemptAfterLastCaller(t *testing.T) {
	for name, test := range map[string]struct{ takes, pause time.Duration }{
		"during the attempt": {time.Minute, 0},
		"in the pause":       {time.Second, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig()
				attempts := 0
				var left bool
				retrying := &requester{from: nowhere, fetch: func(ctx context.Context, _ want) (azcore.AccessToken, error) {
					p := progressOf(ctx)
					for p.begin() {
						attempts++
						time.Sleep(test.takes)
						p.last.Store(&failure{errors.New("down")})
						if !p.end() {
							break
						}
						select {
						case <-time.After(test.pause):
						case <-ctx.Done():
							left = true
						}
					}
					return azcore.AccessToken{}, errors.New("down")
				}}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := r.get(ctx, "r", "", retrying)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if test.pause > 0 {
					require.ErrorContains(t, err, "last attempt: down")
				}
				time.Sleep(test.takes)
				synctest.Wait()
				require.Equal(t, 1, attempts)
				require.Equal(t, test.pause > 0, left, "the pause went on")
				_, err = r.want(t.Context(), "r", "") // and no caller gets the failure
				require.NoError(t, err)
			})
		})
	}
}

func TestCanceledCallerStartsNoFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.want(ctx, "r", "")
		require.ErrorIs(t, err, context.Canceled)
		synctest.Wait()
		require.Zero(t, r.count())

		_, err = r.want(t.Context(), "r", "")
		require.NoError(t, err)
		token, err := r.want(ctx, "r", "")
		require.NoError(t, err, "a cached token needs no waiting")
		require.Equal(t, "r#1", token.Token)
	})
}

// TestCanceledCallerGetsRememberedFailure checks that a canceled caller gets the remembered failure, which
// may be why it was canceled.
func TestCanceledCallerGetsRememberedFailure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCache(false)
		by := &requester{from: nowhere, fetch: func(ctx context.Context, _ want) (azcore.AccessToken, error) {
			down := failed(nil, nil, "down")
			progressOf(ctx).last.Store(&failure{down})
			return azcore.AccessToken{}, down
		}}
		_, err := c.get(ctx, "r", "", by)
		require.EqualError(t, err, "azhost: down")
		cancel()
		_, err = c.get(ctx, "r", "", by)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "last attempt: down")
	})
}

func TestCallersJoinRefreshAfterExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.takes = 2 * time.Minute })
		time.Sleep(59 * time.Minute)
		r.token(t)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.want(ctx, "r", "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		token, err := r.want(t.Context(), "r", "") // the canceled caller did not cancel the background flight
		require.NoError(t, err)
		require.Equal(t, "r#2", token.Token)
		require.Equal(t, 2, r.count())
	})
}

func TestFlightDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Hour })
		start := time.Now()
		_, err := r.want(t.Context(), "r", "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Minute, time.Since(start))
	})
}

func TestPanicReleasesCallers(t *testing.T) {
	for name, fetch := range map[string]func(context.Context, string) (azcore.AccessToken, error){
		"panic":  func(context.Context, string) (azcore.AccessToken, error) { panic("policy bug") },
		"goexit": func(context.Context, string) (azcore.AccessToken, error) { runtime.Goexit(); panic("unreachable") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig()
				r.set(func() { r.fetch = fetch })
				var callers sync.WaitGroup
				for range 3 {
					callers.Go(func() {
						_, err := r.want(t.Context(), "r", "")
						var failed *AuthenticationFailedError
						require.ErrorAs(t, err, &failed)
					})
				}
				callers.Wait()
				require.Equal(t, 1, r.count())
			})
		})
	}
}

// TestStuckTransport checks that a Transport that ignores its context blocks neither its callers beyond the
// flight's deadline nor later callers.
func TestStuckTransport(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		release := make(chan struct{})
		r.set(func() {
			r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
				<-release
				return azcore.AccessToken{}, errors.New("stuck")
			}
		})
		time.Sleep(58 * time.Minute)
		start := time.Now()
		require.Equal(t, "r#1", r.token(t).Token)
		time.Sleep(2 * time.Minute)
		_, err := r.want(t.Context(), "r", "")
		require.ErrorContains(t, err, "must honor its context")
		require.Equal(t, stuckAfter, time.Since(start))
		require.Equal(t, 2, r.count(), "at most two requests at a time")
		r.set(func() { r.fetch = nil })
		time.Sleep(2 * failureMemory)
		token, err := r.want(t.Context(), "r", "")
		require.NoError(t, err)
		require.Equal(t, "r#3", token.Token)
		close(release)
		synctest.Wait()
		require.Equal(t, "r#3", r.token(t).Token)
	})
}

func TestFlightDeadlineError(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.fetch = func(ctx context.Context, _ string) (azcore.AccessToken, error) {
			<-ctx.Done()
			return azcore.AccessToken{}, gaveUp(ctx, "r", "", nil)
		}
		_, err := r.want(t.Context(), "r", "")
		require.ErrorContains(t, err, "no token within 3m0s")
	})
}

// TestPanicIsLogged checks that a panic is logged with its stack, which errors don't have.
func TestPanicIsLogged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.fetch = func(context.Context, string) (azcore.AccessToken, error) { panic("policy bug") } })
		_, err := r.want(t.Context(), "r", "")
		require.ErrorContains(t, err, "a policy or Transport panicked: policy bug")
		require.NotContains(t, err.Error(), ".go:")
		synctest.Wait()
		require.Contains(t, r.logged.String(), `msg="azhost: panic while requesting a token" panic="policy bug" stack=`)
		require.Contains(t, r.logged.String(), "flight_test.go")
	})
}

// TestLeavingAFinishedFlight checks that a caller whose context ends at the same moment gets the flight's token.
func TestLeavingAFinishedFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		c := r.cache
		c.mu.Lock()
		now := c.at(time.Now())
		e := c.entry("r", now)
		f := c.start(e, "{}", now, r.by(nil))
		f.waiters++
		c.mu.Unlock()
		<-f.done
		require.False(t, c.leave(e, f))
		require.NoError(t, f.err)
	})
}
