// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

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
		f := e.flights[0]
		delete(c.entries, "r")
		c.mu.Unlock()
		<-f.done
		require.True(t, e.state.valid(c.at(time.Now())))
		_, ok := c.hit("r", time.Now())
		require.False(t, ok)
	})
}
