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

// TestCanceledInQueue checks that a caller that leaves the queue doesn't cause a remembered failure,
// because no request was sent.
func TestCanceledInQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCache(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.get(ctx, "r", "", from(func(ctx context.Context) (azcore.AccessToken, error) {
			<-ctx.Done()
			return azcore.AccessToken{}, ctx.Err()
		}))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.Zero(t, c.entries["r"].state.failures)
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

func TestFailureIsSharedAndRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.down = errors.New("down") })
		r.set(func() { r.takes = 5 * time.Second })
		start := time.Now()
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				_, err := r.want(t.Context(), "r", "")
				require.ErrorIs(t, err, r.down)
			})
		}
		callers.Wait()
		require.Equal(t, 5*time.Second, time.Since(start))
		for range 20 { // queued behind a mutex, as in azcore's bearer policy
			_, err := r.want(t.Context(), "r", "")
			require.ErrorIs(t, err, r.down)
		}
		require.Equal(t, 5*time.Second, time.Since(start), "callers waited one after another")
		time.Sleep(900*time.Millisecond - 1)
		_, err := r.want(t.Context(), "r", "")
		require.ErrorIs(t, err, r.down)
		require.Equal(t, 1, r.count())

		time.Sleep(200*time.Millisecond + 1)
		r.set(func() { r.down = nil })
		token, err := r.want(t.Context(), "r", "")
		require.NoError(t, err, "remembered for too long")
		require.Equal(t, "r#2", token.Token)
	})
}

func TestSuccessClearsRememberedFailures(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.down = errors.New("down") })
		_, err := r.want(t.Context(), "r", "")
		require.ErrorIs(t, err, r.down)
		_, err = r.want(t.Context(), "r", "one")
		require.ErrorIs(t, err, r.down)
		r.set(func() { r.down = nil })
		_, err = r.want(t.Context(), "r", "two")
		require.NoError(t, err)
		_, err = r.want(t.Context(), "r", "one")
		require.NoError(t, err, "the failure before the success is still remembered")
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

func TestStuckRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, 24*time.Hour, time.Hour)
		release := make(chan struct{})
		r.set(func() {
			r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
				<-release
				return azcore.AccessToken{}, errors.New("stuck")
			}
		})
		time.Sleep(time.Hour)
		for range 3 {
			require.Equal(t, "r#1", r.token(t).Token)
			synctest.Wait()
			require.Equal(t, 2, r.count())
		}
		r.set(func() { r.fetch = nil })
		time.Sleep(stuckAfter + pauseMin + pauseMin/10) // a pause follows, as after any failure
		require.Equal(t, "r#1", r.token(t).Token)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, "r#3", r.token(t).Token)
		close(release)
	})
}

// TestFlightDeadlineIsFailure checks that a flight that ends at its deadline is followed by a pause and
// remembered, like any other failure, however many calls come at that moment.
func TestFlightDeadlineIsFailure(t *testing.T) {
	slow := func(ctx context.Context, _ string) (azcore.AccessToken, error) {
		<-ctx.Done()
		time.Sleep(time.Second) // cleanup after the deadline
		return azcore.AccessToken{}, ctx.Err()
	}
	t.Run("refresh", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			r := primed(t, 24*time.Hour, time.Hour)
			r.set(func() { r.fetch = slow })
			time.Sleep(time.Hour)
			for range 210 * 5 { // to the end of the shortest pause
				require.Equal(t, "r#1", r.token(t).Token)
				time.Sleep(200 * time.Millisecond)
			}
			require.Equal(t, 2, r.count())
		})
	})
	t.Run("no token", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			r := newRig()
			r.set(func() { r.fetch = slow })
			start := time.Now()
			var all sync.WaitGroup
			for _, after := range []time.Duration{0, flightDeadline, flightDeadline + time.Second + time.Millisecond} {
				all.Go(func() {
					time.Sleep(after)
					_, err := r.want(t.Context(), "r", "")
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Less(t, time.Since(start), flightDeadline+2*time.Second)
				})
			}
			all.Wait()
			require.Equal(t, 1, r.count())
		})
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

// TestLateTokenOfAbandonedFlight checks that a flight whose last caller left before the first attempt
// doesn't replace a later flight's token. Such a flight returns a token if a policy responds itself.
func TestLateTokenOfAbandonedFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.get(ctx, "r", "", from(func(context.Context) (azcore.AccessToken, error) {
			time.Sleep(time.Minute)
			return azcore.AccessToken{Token: "late", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "r#1", r.token(t).Token)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "r#1", r.token(t).Token)
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

// TestFailureWithoutAnAttempt checks that it counts if a caller waits for it, as during a Retry-After.
func TestFailureWithoutAnAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		throttled := &requester{from: nowhere, fetch: func(context.Context, want) (azcore.AccessToken, error) {
			return azcore.AccessToken{}, failed(nil, nil, "throttled")
		}}
		_, err := r.cache.get(t.Context(), "r", "", throttled)
		require.EqualError(t, err, "azhost: throttled")
		f := r.cache.entries["r"].flights[0]
		require.Equal(t, noToken, f.outcome)
		require.Equal(t, 1, r.cache.entries["r"].state.failures)
	})
}

// TestFlightOfASweptEntry checks that its token isn't stored, because another entry may have the resource.
func TestFlightOfASweptEntry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		c := r.cache
		go r.want(t.Context(), "r", "")
		synctest.Wait()
		c.mu.Lock()
		e := c.entries["r"]
		delete(c.entries, "r")
		c.mu.Unlock()
		<-e.flights[0].done
		require.True(t, e.state.valid(c.at(time.Now())))
		_, ok := c.hit("r", time.Now())
		require.False(t, ok)
	})
}
