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
		// The machine slept for an hour. Without its monotonic part, a time compares only by the wall
		// clock.
		_, ok = r.hit("r", now.Round(0).Add(time.Hour))
		require.False(t, ok)
	})
}

// TestExpiryAfterSuspendDuringRefresh checks that a token isn't returned after its expiry by the wall
// clock, even during a refresh or the pause after a failed one.
func TestExpiryAfterSuspendDuringRefresh(t *testing.T) {
	for name, takes := range map[string]time.Duration{"under way": 2 * time.Minute, "failed": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, 24*time.Hour, 0)
				r.set(func() { r.down, r.takes = errors.New("down"), takes })
				time.Sleep(24*time.Hour - 10*time.Second)
				r.epoch = r.epoch.Add(23 * time.Hour) // the machine was suspended for most of it
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

// TestWallClockSetBack checks that setting the wall clock back doesn't extend a token's lifetime.
func TestWallClockSetBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		require.Equal(t, "r#1", r.token(t).Token)
		r.epoch = r.epoch.Add(-time.Hour) // an hour has passed on the monotonic clock, and none on the wall clock
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
		r.token(t) // starts a refresh, which blocks
		go r.want(t.Context(), "other", "")
		synctest.Wait()
		r.script.Lock()   // no request can start
		r.cache.mu.Lock() // as a flight that ends does
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
		r.token(t) // its refresh ends
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

// TestSweepKeepsFlights checks that a sweep removes neither a running flight nor a remembered failure.
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

// TestSweptEntry checks that the result of a flight in a swept entry doesn't affect the entry that replaced
// it.
func TestSweptEntry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		release := make(chan struct{})
		r.set(func() {
			r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
				<-release // a transport that is stuck beyond the flight's deadline
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

// TestFullCacheEvictsTenth checks that a full cache evicts at most a tenth of the entries that are still
// useful.
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

// TestCacheFullOfFlights checks that entries that can't be removed aren't searched again for each new
// entry.
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

// TestDropAfterConcurrentChange checks that drop does nothing if the entry was replaced or swept before it
// got the lock.
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
			time.Sleep(20 * time.Millisecond) // until it waits for the lock
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

// TestSweepsAreRare checks that not every flight that ends looks at every entry.
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

func TestSweepKeepsValidTokens(t *testing.T) {
	c := newCache(false)
	now := c.at(time.Now())
	const n = maxEntries - 1
	for i := range n {
		c.entry(fmt.Sprint(i), now).state = &state{expiry: now.add(time.Hour)}
	}
	c.sweep(now.add(2 * sweepEvery))
	require.Len(t, c.entries, n)
}
