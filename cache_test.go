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

func TestExpiryAfterSuspend(t *testing.T) {
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

// TestExpiryAfterSuspendDuringRefresh: neither a refresh under way nor the pause after one that
// failed lets a token be used after the wall clock says that it has expired.
func TestExpiryAfterSuspendDuringRefresh(t *testing.T) {
	for name, takes := range map[string]time.Duration{"under way": 2 * time.Minute, "failed": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, 24*time.Hour, 0)
				r.set(func() { r.down, r.takes = errors.New("down"), takes })
				time.Sleep(24*time.Hour - 10*time.Second)
				r.epoch = r.epoch.Add(23 * time.Hour) // most of which the machine has slept through
				expiry := r.token(t).ExpiresOn
				time.Sleep(time.Until(expiry) - 1)
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
		r.script.Lock()   // requests cannot even be counted
		r.cache.mu.Lock() // as a landing flight does
		for range 100 {
			token, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
			require.Equal(t, "r#1", token.Token)
		}
		r.cache.mu.Unlock()
		r.script.Unlock()
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

func TestUnusedResourcesAreSwept(t *testing.T) {
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
		r.states.Range(func(any, any) bool { left++; return true })
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

// TestSweepKeepsFlights: a herd stays one flight, and a failure remembered, whatever is swept.
func TestSweepKeepsFlights(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		sweep := func() {
			r.cache.mu.Lock()
			defer r.cache.mu.Unlock()
			r.sweep(r.at(time.Now()))
		}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				_, err := r.want(t.Context(), "r", "")
				require.NoError(t, err)
			})
			synctest.Wait()
			sweep()
		}
		all.Wait()
		require.Equal(t, 1, r.count())

		r.set(func() { r.down, r.takes = errors.New("down"), 0 })
		for range 2 {
			_, err := r.want(t.Context(), "other", "")
			require.ErrorIs(t, err, r.down)
			sweep()
		}
		require.Equal(t, 2, r.count())
		time.Sleep(sweepEvery)
		sweep()
		require.Len(t, r.entries, 1)
	})
}

// TestSweptEntry: what lands in a swept entry does not stand in its successor's way.
func TestSweptEntry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		release := make(chan struct{})
		r.set(func() {
			r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
				<-release // a transport that is stuck for longer than a flight may take
				return azcore.AccessToken{Token: "older", ExpiresOn: time.Now().Add(time.Hour)}, nil
			}
		})
		go r.want(t.Context(), "r", "")
		time.Sleep(stuckAfter + sweepEvery)
		r.cache.mu.Lock()
		r.sweep(r.at(time.Now()))
		require.Empty(t, r.entries)
		r.cache.mu.Unlock()
		r.set(func() { r.fetch = nil })
		token, err := r.want(t.Context(), "r", "")
		require.NoError(t, err)
		close(release)
		synctest.Wait()
		require.Equal(t, token, r.token(t))
	})
}

// TestFullCacheEvictsTenth: of what could still be of use, a full cache gives up no more than that.
func TestFullCacheEvictsTenth(t *testing.T) {
	c := newCache(false)
	now := c.at(time.Now())
	for n := range maxEntries {
		c.entry(fmt.Sprint(n), now).state = &state{expiry: now.add(time.Hour)}
	}
	require.Len(t, c.entries, maxEntries)
	c.entry("one more", now)
	require.Len(t, c.entries, maxEntries*9/10+1)
}

// TestCacheFullOfFlights: entries that cannot be removed are not looked at for every further one.
func TestCacheFullOfFlights(t *testing.T) {
	c := newCache(false)
	now := c.at(time.Now())
	sweeps := 0
	for n := range maxEntries * 3 / 2 {
		before := c.limit
		c.entry(fmt.Sprint(n), now).flights = []*flight{{until: now.add(time.Hour)}}
		if c.limit != before {
			sweeps++
		}
	}
	require.Less(t, sweeps, 15)
	require.Len(t, c.entries, maxEntries*3/2)
	c.sweep(now)
	require.Equal(t, maxEntries*3/2*11/10, c.limit)
	c.sweep(now.add(2 * time.Hour))
	require.Empty(t, c.entries)
	require.Equal(t, maxEntries, c.limit)
}

// TestDropAfterConcurrentChange: what Invalidate was to drop may have been replaced or swept when its turn comes.
func TestDropAfterConcurrentChange(t *testing.T) {
	for name, change := range map[string]func(*cache){
		"replaced": func(c *cache) {
			e := c.entries["r"]
			own := *e.state
			own.token.Token = "newer"
			c.store(e, &own)
		},
		"swept": func(c *cache) { delete(c.entries, "r") },
	} {
		t.Run(name, func(t *testing.T) {
			r := primed(t, time.Hour, 0)
			r.cache.mu.Lock()
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.drop("r#1")
			}()
			time.Sleep(20 * time.Millisecond) // in which it comes as far as the lock
			change(r.cache)
			r.cache.mu.Unlock()
			<-done
			if name == "replaced" {
				token, ok := r.valid("r")
				require.True(t, ok)
				require.Equal(t, "newer", token.Token)
			}
		})
	}
}

// TestSweepsAreRare: a landing flight does not look at every entry each time.
func TestSweepsAreRare(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		swept := r.swept
		for range 9 {
			time.Sleep(time.Minute)
			_, err := r.want(t.Context(), "r", "revoked")
			require.NoError(t, err)
			require.Equal(t, swept, r.swept)
		}
		time.Sleep(time.Minute)
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		require.NotEqual(t, swept, r.swept)
		swept = r.swept
		_, err = r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		require.Equal(t, swept, r.swept)
	})
}
