// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPauseDelaysQueue checks that an attempt that is waiting for its turn also waits for the end of a
// pause that the host requests meanwhile.
func TestPauseDelaysQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(true)
		start := time.Now()
		for range maxRate { // so that the next one waits for a second
			leave, err := g.enter(t.Context(), time.Minute)
			require.NoError(t, err)
			leave()
		}
		go func() {
			time.Sleep(500 * time.Millisecond)
			g.pauseFor(time.Minute, throttled429)
		}()
		leave, err := g.enter(t.Context(), time.Minute)
		require.NoError(t, err)
		require.Equal(t, 500*time.Millisecond+time.Minute, time.Since(start))
		leave()
	})
}

// TestLongerPauseWins checks that a later pause that ends earlier doesn't shorten the first one.
func TestLongerPauseWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		start := time.Now()
		g.pauseFor(time.Minute, throttled429)
		g.pauseFor(time.Second, throttled429)
		leave, err := g.enter(t.Context(), time.Minute)
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		leave()
	})
}

// TestCanceledTurn checks that an attempt that is canceled in the queue leaves its turn to the next one.
func TestCanceledTurn(t *testing.T) {
	for _, paced := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(paced)
			g.pauseFor(time.Hour, throttled429)
			require.Equal(t, maxRetryAfter, g.pauseLeft())
			for range 2 * maxRate {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				start := time.Now()
				_, err := g.enter(ctx, time.Minute)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, time.Second, time.Since(start))
				cancel()
			}
			require.Empty(t, g.slots)
			require.Len(t, g.rate, cap(g.rate))
		})
	}
}

// TestLeaseEnds checks that an attempt that doesn't return keeps its slot for its timeout and ten seconds,
// but never longer than a flight may take.
func TestLeaseEnds(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		time.Minute:    70 * time.Second,
		flightDeadline: 190 * time.Second,
		24 * time.Hour: 190 * time.Second,
		math.MaxInt64:  190 * time.Second,
	} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(true)
				start := time.Now()
				leave, err := g.enter(t.Context(), timeout)
				require.NoError(t, err)
				time.Sleep(time.Second)
				for range maxAttempts { // one more than there are slots left
					_, err := g.enter(t.Context(), flightDeadline)
					require.NoError(t, err)
				}
				require.Equal(t, want, time.Since(start))
				leave() // too late to have an effect
				require.Len(t, g.slots, maxAttempts)
				require.Len(t, g.rate, maxRate-maxAttempts)
				time.Sleep(time.Hour)
			})
		})
	}
}

var throttled429 = &http.Response{StatusCode: 429, Header: http.Header{}, Body: http.NoBody, Request: &http.Request{}}

// TestThrottledResponse checks that the response is the host's, except for the time that is left.
func TestThrottledResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		req, err := http.NewRequest(http.MethodGet, "http://imds.invalid", nil)
		require.NoError(t, err)
		require.Nil(t, g.throttled(req))
		g.pauseFor(time.Minute, throttled429)
		require.False(t, g.useless())
		time.Sleep(20 * time.Second)
		resp := g.throttled(req)
		require.Equal(t, "429 Too Many Requests", resp.Status)
		require.Equal(t, "40", resp.Header.Get("Retry-After"))
		require.Same(t, req, resp.Request)
		time.Sleep(40 * time.Second)
		require.Nil(t, g.throttled(req))
		require.True(t, g.useless())
	})
}

// TestUselessGate checks that a gate in use isn't dropped, because a new gate would let more requests
// through.
func TestUselessGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(true)
		require.True(t, g.useless())
		leave, err := g.enter(t.Context(), time.Minute)
		require.NoError(t, err)
		require.False(t, g.useless())
		leave()
		require.True(t, g.useless())
		g.spend(true)
		require.False(t, g.useless())
		time.Sleep(spentFor)
		require.True(t, g.useless())
	})
}

func TestUnpacedGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(false)
		start := time.Now()
		for range 5 * maxRate {
			leave, err := g.enter(t.Context(), time.Minute)
			require.NoError(t, err)
			leave()
		}
		require.Equal(t, start, time.Now())
	})
}
