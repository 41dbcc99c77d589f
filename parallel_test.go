// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// These tests run in real time with concurrent callers, and check the order of the tokens that each of them
// gets.

// counter is a host whose tokens are numbered in the order in which their requests arrived.
type counter struct {
	refresh time.Duration
	delay   time.Duration // the maximum of a random delay

	n      atomic.Int64
	atOnce atomic.Int64 // ordinary requests
	most   atomic.Int64
}

func (h *counter) requester(claims bool) *requester {
	return from(func(ctx context.Context) (azcore.AccessToken, error) {
		if !progressOf(ctx).begin() {
			return azcore.AccessToken{}, ctx.Err()
		}
		n := h.n.Add(1)
		if !claims {
			if now := h.atOnce.Add(1); now > h.most.Load() {
				h.most.Store(now)
			}
			defer h.atOnce.Add(-1)
		}
		if h.delay > 0 {
			time.Sleep(rand.N(h.delay))
		}
		token := azcore.AccessToken{Token: fmt.Sprint(n, " ", claims), ExpiresOn: time.Now().Add(time.Hour)}
		if h.refresh > 0 {
			token.RefreshOn = time.Now().Add(h.refresh)
		}
		return token, nil
	})
}

// numberOf returns a token's number, and whether it was requested with claims.
func numberOf(t *testing.T, token azcore.AccessToken) (n int64, claims bool) {
	_, err := fmt.Sscan(token.Token, &n, &claims)
	require.NoError(t, err)
	return n, claims
}

// TestParallelCallersGetNoOlderToken checks that while the token is renewed all the time, no caller gets an
// older token than before, and that there is one request at a time, and only when it is due.
func TestParallelCallersGetNoOlderToken(t *testing.T) {
	c := newCache(false)
	h := &counter{refresh: 200 * time.Microsecond, delay: 200 * time.Microsecond}
	by := h.requester(false)
	var all sync.WaitGroup
	var seen sync.Map
	for range 8 {
		all.Go(func() {
			last := int64(0)
			for range 5_000 {
				token, err := c.get(t.Context(), "r", "", by)
				require.NoError(t, err)
				n, _ := numberOf(t, token)
				require.GreaterOrEqual(t, n, last)
				if n != last {
					seen.Store(n, true)
				}
				last = n
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	different := int64(0)
	seen.Range(func(any, any) bool { different++; return true })
	require.EqualValues(t, 1, h.most.Load())
	require.Greater(t, different, int64(1), "nothing was renewed")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.EqualValues(t, h.n.Load(), c.flights)
}

// TestParallelInvalidate checks that a call that begins after Invalidate has returned gets another token,
// however many callers and refreshes there are.
func TestParallelInvalidate(t *testing.T) {
	c := newCache(false)
	h := &counter{refresh: 200 * time.Microsecond, delay: 200 * time.Microsecond}
	by := h.requester(false)
	for n := range 300 {
		resource := fmt.Sprint(n)
		var rejected atomic.Int64 // the number of the token that was dropped
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 20 {
					before := rejected.Load()
					token, err := c.get(t.Context(), resource, "", by)
					require.NoError(t, err)
					n, _ := numberOf(t, token)
					require.NotEqual(t, before, n, "got the token that was dropped")
					runtime.Gosched()
				}
			})
		}
		token, err := c.get(t.Context(), resource, "", by)
		require.NoError(t, err)
		c.drop(token.Token)
		n, _ := numberOf(t, token)
		rejected.Store(n)
		all.Wait()
	}
}

// TestParallelClaims checks that a call that begins after a request with claims has ended doesn't get the
// token of an ordinary request that was sent before it.
func TestParallelClaims(t *testing.T) {
	c := newCache(false)
	h := &counter{refresh: 300 * time.Microsecond, delay: 300 * time.Microsecond}
	ordinary, answering := h.requester(false), h.requester(true)
	_, err := c.get(t.Context(), "r", "", ordinary)
	require.NoError(t, err)
	var rejected atomic.Int64 // requests up to this one were sent before a finished request with claims
	var all sync.WaitGroup
	for caller := range 3 {
		all.Go(func() {
			for n := range 200 {
				sent := h.n.Load()
				token, err := c.get(t.Context(), "r", fmt.Sprint(caller, n), answering)
				require.NoError(t, err)
				got, claims := numberOf(t, token)
				require.True(t, claims)
				require.Greater(t, got, sent)
				for before := rejected.Load(); sent > before && !rejected.CompareAndSwap(before, sent); {
					before = rejected.Load()
				}
			}
		})
		all.Go(func() {
			for range 2_000 {
				before := rejected.Load()
				token, err := c.get(t.Context(), "r", "", ordinary)
				require.NoError(t, err)
				if n, claims := numberOf(t, token); !claims {
					require.Greater(t, n, before, "an ordinary token from before the claims")
				}
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, h.most.Load())
}

// TestParallelColdCallers checks that concurrent callers share one request, and that each one that isn't
// canceled gets its token.
func TestParallelColdCallers(t *testing.T) {
	c := newCache(false)
	h := &counter{delay: 50 * time.Microsecond}
	by := h.requester(false)
	const rounds = 500
	for round := range rounds {
		var all sync.WaitGroup
		for caller := range 8 {
			all.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				leaves := caller > 0 && caller%2 == 0
				if leaves {
					go func() {
						time.Sleep(rand.N(50 * time.Microsecond))
						cancel()
					}()
				}
				token, err := c.get(ctx, fmt.Sprint(round), "", by)
				if leaves && err != nil {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				require.NoError(t, err)
				require.NotEmpty(t, token.Token)
			})
		}
		all.Wait()
	}
	require.EqualValues(t, rounds, h.n.Load())
}
