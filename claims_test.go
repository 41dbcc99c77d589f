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
		require.Equal(t, "r#1", r.token(t).Token, "other callers don't wait")
		callers.Wait()
		require.Equal(t, 2, r.count(), "calls with the same claims share a flight")
		require.Equal(t, "r#2", r.token(t).Token, "the result replaces the cached token")

		token, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		require.Equal(t, "r#3", token.Token, "claims are never served from the cache")
		require.NotContains(t, r.logged.String(), "WARN")
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

func TestFailedRefreshKeepsClaimsToken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.down, r.takes = errors.New("down"), time.Minute })
		time.Sleep(55 * time.Minute)
		r.token(t) // starts a refresh, which will fail
		synctest.Wait()
		r.set(func() { r.down, r.takes = nil, time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, "r#3", r.token(t).Token)
		synctest.Wait()
		require.Equal(t, 3, r.count(), "a token that is ten minutes old was renewed")
		require.NotContains(t, r.logged.String(), "the cached token is still valid")
		require.Contains(t, r.logged.String(), "token request failed, but another one has returned a token")
	})
}

// TestClaimsWinOverRefreshes checks that the token of a request with claims stays, in whatever order that
// request and a refresh start and end, and that a failed refresh doesn't affect it.
func TestClaimsWinOverRefreshes(t *testing.T) {
	for name, test := range map[string]struct {
		claimsAfter, refreshTakes time.Duration // the claims flight takes a minute
		down                      error         // the refresh's error
	}{
		"refresh inside claims":         {-10 * time.Second, 10 * time.Second, nil},
		"failed refresh inside claims":  {-10 * time.Second, 10 * time.Second, errors.New("down")},
		"refresh outlives claims":       {-10 * time.Second, 2 * time.Minute, nil},
		"failed one outlives claims":    {-10 * time.Second, 2 * time.Minute, errors.New("down")},
		"claims inside refresh":         {10 * time.Second, 2 * time.Minute, nil},
		"claims inside failed refresh":  {10 * time.Second, 2 * time.Minute, errors.New("down")},
		"claims outlive refresh":        {10 * time.Second, 30 * time.Second, nil},
		"claims outlive failed refresh": {10 * time.Second, 30 * time.Second, errors.New("down")},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, time.Hour, 0)
				start := time.Now()
				var all sync.WaitGroup
				all.Go(func() {
					time.Sleep(56*time.Minute + test.claimsAfter)
					token, err := r.get(t.Context(), "r", "revoked", from(func(context.Context) (azcore.AccessToken, error) {
						time.Sleep(time.Minute)
						return azcore.AccessToken{Token: "of claims", ExpiresOn: time.Now().Add(time.Hour)}, nil
					}))
					require.NoError(t, err)
					require.Equal(t, "of claims", token.Token)
				})
				all.Go(func() {
					time.Sleep(56 * time.Minute)
					r.set(func() { r.down, r.takes = test.down, test.refreshTakes })
					require.Equal(t, "r#1", r.token(t).Token)
				})
				all.Wait()
				time.Sleep(time.Hour - time.Since(start)) // all have ended
				require.Equal(t, "of claims", r.token(t).Token)
				time.Sleep(30 * time.Minute)
				require.Equal(t, "of claims", r.token(t).Token)
				synctest.Wait()
				require.Equal(t, 2, r.count(), "the token of claims was renewed before it was due")
			})
		})
	}
}

func TestLaterFlightReplacesClaimsToken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(56 * time.Minute)
		require.Equal(t, "r#2", r.token(t).Token)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, "r#3", r.token(t).Token)
	})
}

func TestOlderClaimsDoNotOverwriteNewer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		var all sync.WaitGroup
		for n, takes := range []time.Duration{time.Minute, time.Second} {
			r.set(func() { r.takes, r.life = takes, []time.Duration{time.Hour, 40 * time.Second}[n] })
			all.Go(func() {
				token, err := r.want(t.Context(), "r", fmt.Sprint(n))
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("r#", n+1), token.Token)
			})
			synctest.Wait()
		}
		time.Sleep(40 * time.Second)
		r.set(func() { r.life = time.Hour })
		require.Equal(t, "r#2", r.token(t).Token) // and an ordinary refresh
		all.Wait()
		require.Equal(t, "r#3", r.token(t).Token)
	})
}

// TestOvertakenTokenReplacesExpired checks that the token of an older request replaces an expired token.
func TestOvertakenTokenReplacesExpired(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		var slow sync.WaitGroup
		slow.Go(func() {
			_, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
		})
		synctest.Wait()
		r.set(func() { r.takes, r.life = time.Second, 20*time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		slow.Wait()
		require.Equal(t, "r#1", r.token(t).Token)
		require.Equal(t, 2, r.count())
	})
}

func TestFailedClaimsKeepToken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.down = errors.New("down") })
		_, err := r.want(t.Context(), "r", "revoked")
		require.ErrorIs(t, err, r.down)
		time.Sleep(50 * time.Minute)
		require.Equal(t, "r#1", r.token(t).Token)
		synctest.Wait()
		require.Equal(t, 2, r.count(), "renewed before it is due")
		require.Contains(t, r.logged.String(), "azhost: token request failed")
		require.NotContains(t, r.logged.String(), "no caller was waiting")
	})
}

func TestFailedClaimsDoNotAccumulate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.down = errors.New("down") })
		for n := range 100 {
			_, err := r.want(t.Context(), "r", fmt.Sprint(n))
			require.ErrorIs(t, err, r.down)
			time.Sleep(2 * time.Second)
		}
		require.Len(t, r.entries["r"].flights, 1)
	})
}

// TestCanceledCallerGetsValidToken checks that a caller whose context ends before its flight gets the token
// of another request with claims.
func TestCanceledCallerGetsValidToken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		var slow sync.WaitGroup
		slow.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			token, err := r.want(ctx, "r", "")
			require.NoError(t, err)
			require.Equal(t, "r#3", token.Token)
		})
		slow.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := r.want(ctx, "r", "older")
			require.ErrorIs(t, err, context.DeadlineExceeded, "a call with claims got the token of another flight")
		})
		synctest.Wait()
		r.set(func() { r.takes = time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		slow.Wait()
	})
}

// TestOlderRefreshFailureDelaysNothing checks that the remembered failure of an older refresh doesn't delay
// the renewal of a token that was acquired with claims.
func TestOlderRefreshFailureDelaysNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		r.set(func() { r.takes, r.down = 4400*time.Millisecond, errors.New("down") })
		time.Sleep(56 * time.Minute)
		r.token(t)
		synctest.Wait()
		r.set(func() { r.takes, r.down, r.life = time.Millisecond, nil, 5*time.Second })
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(4600 * time.Millisecond)
		_, err = r.want(t.Context(), "r", "")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, 4, r.count())
	})
}
