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

	"github.com/stretchr/testify/require"
)

// TestDyingToken: in the last minute of a token its callers wait for the refresh under way, for 2 s
// at most and never beyond what is left of it, and get the old token if it brings none. Before that
// nobody waits.
func TestDyingToken(t *testing.T) {
	for _, test := range []struct {
		name        string
		left, takes time.Duration
		down        error
		ctx         time.Duration // 0: none
		waits       time.Duration
		want        string
	}{
		{"a minute and more is left", time.Minute + time.Nanosecond, time.Second, nil, 0, 0, "r#1"},
		{"the host is well", time.Minute, time.Second, nil, 0, time.Second, "r#2"},
		{"the host is slow", time.Minute, 5 * time.Second, nil, 0, 2 * time.Second, "r#1"},
		{"the host is down", time.Minute, time.Second, errors.New("down"), 0, time.Second, "r#1"},
		{"the caller has no time", time.Minute, 5 * time.Second, nil, time.Second, time.Second, "r#1"},
		{"the caller has none at all", time.Minute, 5 * time.Second, nil, -1, 0, "r#1"},
		{"two seconds are left", 2 * time.Second, 5 * time.Second, nil, 0, time.Second, "r#1"},
		{"nothing much is left", 2, 5 * time.Second, nil, 0, 1, "r#1"},
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
				if test.down != nil { // nobody waits for the next attempt
					require.Equal(t, "r#1", r.token(t).Token)
					require.Equal(t, test.waits, time.Since(start))
					require.Equal(t, 2, r.count())
				}
				synctest.Wait()
			})
		})
	}
}

// TestRefreshThatFailsTooLate: once the token has expired, nobody can say that it is still valid.
func TestRefreshThatFailsTooLate(t *testing.T) {
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

// TestLeavingAStuckFlight: its late caller does not take the flight along that has replaced it.
func TestLeavingAStuckFlight(t *testing.T) {
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
