// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// rig is a cache in front of a host that a test scripts. Its fields are used in one bubble, whose
// goroutines the test orders with synctest.Wait, and guarded against the race detector by script.
type rig struct {
	*cache
	logged log

	script   sync.Mutex
	requests int
	down     error         // what the host answers instead of a token
	takes    time.Duration // how long it takes
	life     time.Duration // of its tokens
	refresh  time.Duration // their refresh_in
	fetch    fetchFunc     // instead of all that
}

func newRig() *rig {
	return &rig{cache: newCache(), takes: time.Millisecond, life: time.Hour}
}

func (r *rig) answer(ctx context.Context, resource string) (azcore.AccessToken, error) {
	r.script.Lock()
	r.requests++
	token := azcore.AccessToken{Token: fmt.Sprintf("%s#%d", resource, r.requests)}
	down, takes, life, refresh, fetch := r.down, r.takes, r.life, r.refresh, r.fetch
	r.script.Unlock()
	if fetch != nil {
		return fetch(ctx, resource)
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return azcore.AccessToken{}, ctx.Err()
	}
	if down != nil {
		return azcore.AccessToken{}, down
	}
	token.ExpiresOn = time.Now().Add(life)
	if refresh != 0 {
		token.RefreshOn = time.Now().Add(refresh)
	}
	return token, nil
}

func (r *rig) want(ctx context.Context, resource, claims string) (azcore.AccessToken, error) {
	return r.get(ctx, resource, claims, r.answer, slog.New(slog.NewTextHandler(&r.logged, nil)))
}

// set changes what the host answers.
func (r *rig) set(change func()) {
	r.script.Lock()
	defer r.script.Unlock()
	change()
}

// count returns how many requests the host has seen.
func (r *rig) count() int {
	r.script.Lock()
	defer r.script.Unlock()
	return r.requests
}

// log is a buffer that may be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// inBubble runs f on fake time, and fails if a goroutine outlives the deadline of flights.
func inBubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(flightDeadline)
	})
}

// token wants a token without claims and requires that it gets one without waiting.
func (r *rig) token(t *testing.T) azcore.AccessToken {
	t.Helper()
	start := time.Now()
	token, err := r.want(t.Context(), "r", "")
	require.NoError(t, err)
	require.Zero(t, time.Since(start), "a caller with a valid token waited")
	return token
}

// primed is a rig whose cache holds a token for "r", fetched just now.
func primed(t *testing.T, life, refresh time.Duration) *rig {
	t.Helper()
	r := newRig()
	r.set(func() { r.life, r.refresh = life, refresh })
	_, err := r.want(t.Context(), "r", "")
	require.NoError(t, err)
	require.Equal(t, 1, r.count())
	return r
}

func TestColdHerdIsOneFlight(t *testing.T) {
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

func TestResourcesFlySideBySide(t *testing.T) {
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

func TestStaleTokenIsRenewedBehindItsCallers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.takes = time.Minute })
		time.Sleep(55*time.Minute - 1)
		require.Equal(t, "r#1", r.token(t).Token)
		synctest.Wait()
		require.Equal(t, 1, r.count(), "renewed before it is due")

		time.Sleep(time.Nanosecond)
		for range 100 {
			require.Equal(t, "r#1", r.token(t).Token)
		}
		synctest.Wait()
		require.Equal(t, 2, r.count(), "not renewed, or more than once")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, "r#2", r.token(t).Token)
		require.Equal(t, 2, r.count())
	})
}

func TestExpiredTokenIsNeverReturned(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.down = errors.New("down") })
		time.Sleep(time.Hour - 1)
		require.Equal(t, "r#1", r.token(t).Token)
		synctest.Wait()
		time.Sleep(time.Nanosecond)
		_, err := r.want(t.Context(), "r", "")
		require.ErrorIs(t, err, r.down)
	})
}

func TestRefreshOnIsTheSameOnEveryHit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.life = 24 * time.Hour })
		first, err := r.want(t.Context(), "r", "")
		require.NoError(t, err)
		now := time.Now()
		require.False(t, first.RefreshOn.Before(now.Add(12*time.Hour-72*time.Minute)))
		require.False(t, first.RefreshOn.After(now.Add(12*time.Hour)))
		time.Sleep(time.Hour)
		require.Equal(t, first, r.token(t))

		time.Sleep(time.Until(first.RefreshOn))
		require.Equal(t, first, r.token(t))
		synctest.Wait()
		require.Equal(t, 2, r.count(), "asked at RefreshOn, as azcore's bearer policy does")
	})
}

func TestRefreshSurvivesAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, 24*time.Hour, 12*time.Hour)
		r.set(func() { r.down = errors.New("down") })
		expiry := r.token(t).ExpiresOn
		for time.Until(expiry) > 10*time.Minute {
			require.Equal(t, "r#1", r.token(t).Token)
			time.Sleep(time.Second)
		}
		// 30 s, 1, 2 and 4 min, then every 5 to 5.5 min for 11 h 42 min to 12 h 54 min.
		require.Greater(t, r.count(), 125)
		require.Less(t, r.count(), 165)

		before := r.count()
		r.set(func() { r.down = nil })
		for range 330 { // longer than the longest pause
			require.NotEmpty(t, r.token(t).Token)
			time.Sleep(time.Second)
		}
		require.Equal(t, before+1, r.count(), "the host is back: exactly one request")
	})
}

func TestPauseAfterFailedRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, 10*time.Hour, time.Hour)
		r.set(func() { r.down = errors.New("down") })
		time.Sleep(time.Hour)
		r.token(t)
		synctest.Wait()
		time.Sleep(time.Millisecond) // the refresh fails
		synctest.Wait()
		for n, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			failed := r.count()
			time.Sleep(pause - 1)
			r.token(t)
			synctest.Wait()
			require.Equal(t, failed, r.count(), "pause %d is too short", n)
			time.Sleep(pause/10 + 1)
			r.token(t)
			synctest.Wait()
			require.Equal(t, failed+1, r.count(), "pause %d is too long", n)
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		require.Contains(t, r.logged.String(), "refresh failed")
	})
}

func TestCallersLeaveByTheirOwnContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		type key struct{}
		r.fetch = func(ctx context.Context, resource string) (azcore.AccessToken, error) {
			require.Equal(t, "of the first caller", ctx.Value(key{}))
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

func TestLastCallerCancelsTheFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		var ended atomic.Bool
		r.fetch = func(ctx context.Context, _ string) (azcore.AccessToken, error) {
			<-ctx.Done()
			ended.Store(ctx.Err() == context.Canceled)
			return azcore.AccessToken{}, ctx.Err()
		}
		var callers sync.WaitGroup
		for n := range 3 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(n+1)*time.Second, errors.New("own reason"))
				defer cancel()
				_, err := r.want(ctx, "r", "")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "own reason")
				if n < 2 {
					synctest.Wait()
					require.False(t, ended.Load(), "the flight was cancelled under those who still wait")
				}
			})
		}
		callers.Wait()
		synctest.Wait()
		require.True(t, ended.Load(), "the flight goes on with nobody waiting")

		r.set(func() { r.fetch = nil })
		token, err := r.want(t.Context(), "r", "") // the cancelled flight is not remembered as a failure
		require.NoError(t, err)
		require.Equal(t, "r#2", token.Token)
	})
}

func TestCancelledCallerStartsNothing(t *testing.T) {
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

func TestRefreshOutlivesTheCallerThatTriggeredIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.takes = time.Minute })
		time.Sleep(55 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := r.want(ctx, "r", "")
		require.NoError(t, err)
		cancel()
		time.Sleep(5 * time.Minute) // past the first token's expiry
		require.Equal(t, "r#2", r.token(t).Token)
	})
}

func TestCallersOfAnExpiredTokenJoinTheRefresh(t *testing.T) {
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
		token, err := r.want(t.Context(), "r", "") // the leaver did not cancel the background flight
		require.NoError(t, err)
		require.Equal(t, "r#2", token.Token)
		require.Equal(t, 2, r.count())
	})
}

func TestFlightHasADeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Hour })
		start := time.Now()
		_, err := r.want(t.Context(), "r", "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Minute, time.Since(start))
	})
}

func TestFailureIsSharedAndBrieflyRemembered(t *testing.T) {
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
		require.Equal(t, 5*time.Second, time.Since(start), "callers waited in turn")
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

func TestPanicStrandsNobody(t *testing.T) {
	for name, fetch := range map[string]fetchFunc{
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

func TestClaims(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				token, err := r.want(t.Context(), "r", "revoked")
				require.NoError(t, err)
				require.Equal(t, "r#2", token.Token)
			})
		}
		synctest.Wait()
		require.Equal(t, "r#1", r.token(t).Token, "others go on meanwhile")
		callers.Wait()
		require.Equal(t, 2, r.count(), "calls with the same claims share a flight")
		require.Equal(t, "r#2", r.token(t).Token, "the result replaces the cached token")

		token, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		require.Equal(t, "r#3", token.Token, "claims are never served from the cache")
		require.Empty(t, r.logged.String())
	})
}

func TestEarlierFlightDoesNotOverwriteClaims(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		var slow sync.WaitGroup
		slow.Go(func() {
			token, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
			require.Equal(t, "r#1", token.Token)
		})
		synctest.Wait()
		r.set(func() { r.takes = time.Second })
		token, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		require.Equal(t, "r#2", token.Token)
		slow.Wait()
		require.Equal(t, "r#2", r.token(t).Token)
	})
}

func TestFailedRefreshLeavesTheTokenOfClaimsAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.down, r.takes = errors.New("down"), time.Minute })
		time.Sleep(55 * time.Minute)
		r.token(t) // a refresh takes off, and will fail
		synctest.Wait()
		r.set(func() { r.down, r.takes = nil, time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, "r#3", r.token(t).Token)
		synctest.Wait()
		require.Equal(t, 3, r.count(), "a token of ten minutes was renewed")
		require.NotContains(t, r.logged.String(), "refresh failed")
	})
}

func TestRefusedTokenComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "the same", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}
		for _, claims := range []string{"", "revoked", "revoked", "other"} {
			token, err := r.want(t.Context(), "r", claims)
			require.NoError(t, err)
			require.Equal(t, "the same", token.Token)
		}
		require.Equal(t, 4-1+1, r.count())
		require.Equal(t, 1, strings.Count(r.logged.String(), "the token that was refused"), r.logged.String())
		require.NotContains(t, r.logged.String(), "the same")
	})
}

func TestWallClockDecidesAfterSuspend(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		now := time.Now()
		_, ok := r.hit("r", now)
		require.True(t, ok)
		// The reading of a machine that slept for an hour: without its monotonic part, a time
		// compares by the wall clock alone.
		_, ok = r.hit("r", now.Round(0).Add(time.Hour))
		require.False(t, ok)
	})
}

// TestExpiryAfterSuspendWhileRefreshing: neither a refresh under way nor the pause after one that
// failed lets a token be used after the wall clock says that it has expired.
func TestExpiryAfterSuspendWhileRefreshing(t *testing.T) {
	for name, takes := range map[string]time.Duration{"under way": 2 * time.Minute, "failed": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, 24*time.Hour, 0)
				r.set(func() { r.down, r.takes = errors.New("down"), takes })
				time.Sleep(24*time.Hour - 10*time.Second)
				r.epoch = r.epoch.Add(23 * time.Hour) // most of which the machine has slept through
				require.Equal(t, "r#1", r.token(t).Token)
				time.Sleep(10*time.Second - 1)
				require.Equal(t, "r#1", r.token(t).Token)
				time.Sleep(time.Nanosecond)
				_, err := r.want(t.Context(), "r", "")
				require.ErrorIs(t, err, r.down)
			})
		})
	}
}

// TestWallClockSetBack: a token does not live longer because somebody has set the clock.
func TestWallClockSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		require.Equal(t, "r#1", r.token(t).Token)
		r.epoch = r.epoch.Add(-time.Hour) // by the monotonic clock an hour has passed, by the wall clock none
		token, err := r.want(t.Context(), "r", "")
		require.NoError(t, err)
		require.Equal(t, "r#2", token.Token)
	})
}

func TestHitsTakeNoLock(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		time.Sleep(55 * time.Minute)
		r.set(func() { r.takes = time.Minute })
		r.token(t) // a refresh is under way, and held still
		go r.want(t.Context(), "other", "")
		synctest.Wait()
		e := r.entries["r"]
		e.mu.Lock()       // as a landing flight does
		r.script.Lock()   // requests cannot even be counted
		r.cache.mu.Lock() // as an insertion does
		for range 100 {
			token, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
			require.Equal(t, "r#1", token.Token)
		}
		r.cache.mu.Unlock()
		r.script.Unlock()
		e.mu.Unlock()
		time.Sleep(2 * time.Minute)
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	r := primed(t, time.Hour, 0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, ok := r.hit("r", time.Now()); !ok {
			t.Fatal("no hit")
		}
	}))
}

func TestThrowAwayResourcesAreSwept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, 24*time.Hour, time.Hour)
		r.set(func() { r.life, r.refresh = time.Hour, 0 })
		for n := range 10_000 {
			_, err := r.want(t.Context(), fmt.Sprint("throw-away ", n), "")
			require.NoError(t, err)
		}
		require.Len(t, r.entries, 10_001)
		time.Sleep(2 * time.Hour)
		r.token(t) // its refresh lands
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, r.entries, 1)
		left := 0
		r.tokens.Range(func(any, any) bool { left++; return true })
		require.Equal(t, 1, left)
	})
}

func TestCacheIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = 0 })
		most := 0
		for n := range 45_000 {
			_, err := r.want(t.Context(), fmt.Sprint(n), "")
			require.NoError(t, err)
			most = max(most, len(r.entries))
		}
		require.Equal(t, maxEntries, most)
		token, err := r.want(t.Context(), "44999", "")
		require.NoError(t, err)
		require.NotEmpty(t, token.Token)
	})
}
