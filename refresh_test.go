// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

func TestStaleTokenIsRefreshedInBackground(t *testing.T) {
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

func TestRefreshOnIsStable(t *testing.T) {
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
		require.Equal(t, 2, r.count(), "calls at RefreshOn, as from azcore's bearer policy, must start one refresh")
	})
}

func TestRefreshDuringOutage(t *testing.T) {
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

func TestRefreshOutlivesCaller(t *testing.T) {
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

// TestRefreshJoinsForegroundFlight checks that a refresh and callers share one ordinary flight.
func TestRefreshJoinsForegroundFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		go r.want(t.Context(), "r", "")
		synctest.Wait()
		r.set(func() { r.takes, r.life = time.Millisecond, 20*time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(19 * time.Second)
		require.Equal(t, "r#2", r.token(t).Token)
		synctest.Wait()
		require.Equal(t, 2, r.count(), "a second flight was started")
		time.Sleep(time.Minute)
	})
}

func TestPausesResetAfterSuccess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, 10*time.Hour, time.Hour)
		step := func(d time.Duration, requests int) { // after d, a call finds its token due and sends the n-th request
			t.Helper()
			time.Sleep(d)
			r.token(t)
			time.Sleep(time.Millisecond)
			synctest.Wait()
			require.Equal(t, requests, r.count())
		}
		r.set(func() { r.down = errors.New("down") })
		step(time.Hour, 2)
		step(33*time.Second, 3)
		step(66*time.Second, 4)
		r.set(func() { r.down = nil })
		step(132*time.Second, 5)
		r.set(func() { r.down = errors.New("down") })
		step(time.Hour, 6)
		step(33*time.Second, 7)
	})
}

// TestJitterDiffers checks that caches that start at the same time refresh at different times.
func TestJitterDiffers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.life = 24 * time.Hour })
		due, paused, forgotten := map[instant]bool{}, map[instant]bool{}, map[instant]bool{}
		var all sync.WaitGroup
		each := func(do func(resource string)) {
			for n := range 5 {
				all.Go(func() { do(fmt.Sprint(n)) })
			}
			all.Wait()
			synctest.Wait()
		}
		each(func(resource string) { r.want(t.Context(), resource, "") })
		for _, e := range r.entries {
			due[e.state.due] = true
		}
		require.Len(t, due, 5)
		r.set(func() { r.down = errors.New("down") })
		time.Sleep(12 * time.Hour)
		each(func(resource string) { r.want(t.Context(), resource, "") })
		time.Sleep(time.Millisecond)
		synctest.Wait()
		for _, e := range r.entries {
			paused[e.state.due] = true
			forgotten[e.flights[0].until] = true
		}
		require.Len(t, paused, 5)
		require.Len(t, forgotten, 5)
	})
}

// TestDyingToken checks that in a token's last minute, its callers wait for the running refresh, for at
// most 2 s and at most half of the remaining time, and get the old token if the refresh doesn't end by
// then. Before the last minute, no caller waits.
func TestDyingToken(t *testing.T) {
	for _, test := range []struct {
		name        string
		left, takes time.Duration
		down        error
		ctx         time.Duration // 0: none
		waits       time.Duration
		want        string
	}{
		{"more than a minute is left", time.Minute + time.Nanosecond, time.Second, nil, 0, 0, "r#1"},
		{"the host responds", time.Minute, time.Second, nil, 0, time.Second, "r#2"},
		{"the host is slow", time.Minute, 5 * time.Second, nil, 0, 2 * time.Second, "r#1"},
		{"the host is down", time.Minute, time.Second, errors.New("down"), 0, time.Second, "r#1"},
		{"the caller has a deadline", time.Minute, 5 * time.Second, nil, time.Second, time.Second, "r#1"},
		{"the caller is canceled", time.Minute, 5 * time.Second, nil, -1, 0, "r#1"},
		{"two seconds are left", 2 * time.Second, 5 * time.Second, nil, 0, time.Second, "r#1"},
		{"two nanoseconds are left", 2, 5 * time.Second, nil, 0, 1, "r#1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, time.Hour, 0)
				time.Sleep(time.Hour - test.left)
				r.set(func() { r.takes, r.down = test.takes, test.down })
				start := time.Now()
				var herd sync.WaitGroup
				for range 100 {
					herd.Go(func() {
						ctx := t.Context()
						if test.ctx != 0 {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, test.ctx)
							defer cancel()
						}
						token, err := r.want(ctx, "r", "")
						require.NoError(t, err, "an error although there is a valid token")
						require.Equal(t, test.want, token.Token)
						require.Equal(t, test.waits, time.Since(start))
					})
				}
				herd.Wait()
				synctest.Wait() // the refresh that none of them waits for begins
				require.Equal(t, 2, r.count(), "one refresh")
				if test.down != nil { // no caller waits for the next attempt
					require.Equal(t, "r#1", r.token(t).Token)
					require.Equal(t, test.waits, time.Since(start))
					require.Equal(t, 2, r.count())
				}
				synctest.Wait()
			})
		})
	}
}

// TestRefreshFailsAfterExpiry checks that an expired token isn't logged as still valid.
func TestRefreshFailsAfterExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.takes, r.down = 2*time.Minute, errors.New("down") })
		time.Sleep(59 * time.Minute)
		r.token(t)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Contains(t, r.logged.String(), "token request failed")
		require.NotContains(t, r.logged.String(), "still valid")
	})
}

// TestCanceledCallerOfStuckFlight checks that the caller of a stuck flight doesn't cancel the flight that
// has replaced it.
func TestCanceledCallerOfStuckFlight(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		c := r.cache
		ctx, cancel := context.WithCancel(t.Context())
		go r.want(ctx, "r", "")
		synctest.Wait()
		c.mu.Lock()
		c.entries["r"].flights[0].until = instant{} // as if its time were over
		c.mu.Unlock()
		var second sync.WaitGroup
		second.Go(func() {
			token, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
			require.Equal(t, "r#2", token.Token)
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		go r.want(t.Context(), "r", "") // joins
		second.Wait()
		require.Equal(t, 2, r.count())
	})
}

func TestScheduled(t *testing.T) {
	const almostOne = 1 - 1.0/(1<<53)
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name       string
		life       time.Duration
		refresh    time.Duration // 0: the host did not say
		r          float64
		due        time.Duration
		wantPublic bool // RefreshOn is published
	}{
		{"a day, from half-life", 24 * time.Hour, 0, 0, 12 * time.Hour, true},
		{"a day, a tenth earlier at most", 24 * time.Hour, 0, almostOne, 12*time.Hour - 72*time.Minute, true},
		{"thirty hours, at twelve", 30 * time.Hour, 0, 0, 12 * time.Hour, true},
		{"whatever the host says", 30 * time.Hour, 20 * time.Hour, 0, 12 * time.Hour, true},
		{"two hours, five minutes before expiry", 2 * time.Hour, 0, 0, 115 * time.Minute, false},
		{"two hours and two nanoseconds, at half-life", 2*time.Hour + 2, 0, 0, time.Hour + 1, true},
		{"the host's refresh_in comes first", 24 * time.Hour, time.Hour, 0, time.Hour, true},
		{"the host's refresh_in with jitter", 24 * time.Hour, 10 * time.Hour, 0.5, 9*time.Hour + 30*time.Minute, true},
		{"refresh_in of a short token", 10 * time.Minute, time.Minute, 0, time.Minute, true},
		{"refresh_in at expiry is ignored", 10 * time.Minute, 10 * time.Minute, 0, 9 * time.Minute, false},
		{"refresh_in in the past is ignored", 10 * time.Minute, -time.Minute, 0, 9 * time.Minute, false},
		{"fifty minutes: both rules agree", 50 * time.Minute, 0, almostOne, 45 * time.Minute, false},
		{"above, five minutes", 60 * time.Minute, 0, 0, 55 * time.Minute, false},
		{"below, the last tenth", 20 * time.Second, 0, 0, 18 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := azcore.AccessToken{Token: "t", ExpiresOn: now.Add(test.life)}
			if test.refresh != 0 {
				token.RefreshOn = now.Add(test.refresh)
			}
			got, due, dying, life := scheduled(token, now, test.r)
			require.Equal(t, test.life-min(time.Minute, test.life/10), dying)
			require.Equal(t, test.life, life)
			require.InDelta(t, float64(test.due), float64(due), 10) // nanoseconds
			if test.wantPublic {
				require.Equal(t, now.Add(due), got.RefreshOn)
			} else {
				require.Zero(t, got.RefreshOn)
			}
		})
	}
}

func TestInstantReached(t *testing.T) {
	due := instant{wall: 1000, mono: 500}
	for _, test := range []struct {
		name string
		now  instant
		want bool
	}{
		{"before", instant{999, 499}, false},
		{"at", instant{1000, 500}, true},
		{"suspended: the wall clock alone has arrived", instant{1000, 100}, true},
		{"set back: the monotonic clock alone has arrived", instant{0, 500}, true},
		{"set back, and not yet", instant{0, 499}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, due.reached(test.now))
		})
	}
}

func TestPause(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 4: 4 * time.Minute,
		5: 5 * time.Minute, 6: 5 * time.Minute, 1000: 5 * time.Minute,
	} {
		require.Equal(t, want, pauseAfter(n, 0), "failure %d", n)
		require.Equal(t, want+want/20, pauseAfter(n, 0.5), "failure %d", n)
	}
}

func TestForgetAfter(t *testing.T) {
	require.Equal(t, 900*time.Millisecond, forgetAfter(0))
	require.Equal(t, time.Second, forgetAfter(0.5))
}
