// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/redis/go-redis/v9/auth"
	"github.com/stretchr/testify/require"
)

// connection is a listener that keeps the password it was given last.
type connection struct {
	mu       sync.Mutex // guards the fields below
	password string
	times    int
}

func (c *connection) OnNext(credentials auth.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, c.password = credentials.BasicAuth()
	c.times++
}

func (c *connection) OnError(err error) { panic(err) }

func (c *connection) state() (password string, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.password, c.times
}

// start subscribes a connection to a source that renews its tokens until the test ends.
func start(t *testing.T, vm *azhosttest.VM) (*connection, auth.UnsubscribeFunc) {
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	source := newTokens("user", cred)
	go source.renew(t.Context())
	synctest.Wait() // it has its first token
	c := &connection{}
	first, unsubscribe, err := source.Subscribe(c)
	require.NoError(t, err)
	name, password := first.BasicAuth()
	require.Equal(t, "user", name)
	c.password = password
	return c, unsubscribe
}

func TestLiveConnectionAlwaysHasAValidToken(t *testing.T) {
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		renewals int // in six lifetimes
	}{
		{"a day, renewed at half-life", 24 * time.Hour, 11},
		{"an hour, renewed five minutes before its end", time.Hour, 6},
		{"ten minutes, renewed in its last tenth", 10 * time.Minute, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.SetTokenLifetime(test.lifetime)
				c, _ := start(t, vm)
				for range 6 * 100 {
					time.Sleep(test.lifetime / 100)
					password, _ := c.state()
					_, err := vm.Verify(password)
					require.NoError(t, err)
				}
				_, times := c.state()
				require.InDelta(t, test.renewals, times, 1)
			})
		})
	}
}

func TestOutageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		c, _ := start(t, vm)
		before, _ := c.state()
		vm.FailUntil(time.Now().Add(23*time.Hour), azhosttest.ServerError()) // half an hour and more before the end
		time.Sleep(23*time.Hour + 50*time.Minute)
		after, _ := c.state()
		require.True(t, before != after, "the outage's end went by unnoticed")
		_, err := vm.Verify(after)
		require.NoError(t, err)
	})
}

func TestUnsubscribedConnectionIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		c, unsubscribe := start(t, vm)
		require.NoError(t, unsubscribe())
		require.NoError(t, unsubscribe())
		time.Sleep(72 * time.Hour)
		_, times := c.state()
		require.Zero(t, times)
		require.Greater(t, vm.RequestCount(), 3, "nothing was renewed, so this proves nothing")
	})
}

func TestSubscribeReportsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(2 * pause)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		source := newTokens("user", cred)
		_, _, err = source.Subscribe(&connection{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var failed *azhost.AuthenticationFailedError
		require.ErrorAs(t, err, &failed)
		require.Empty(t, source.listeners)
	})
}

func TestWait(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name               string
		refreshOn, expires time.Duration // 0: none
		want               time.Duration
	}{
		{"no token", 0, 0, pause},
		{"to be refreshed later", time.Hour, 2 * time.Hour, time.Hour},
		{"to be refreshed a little later", pause + 1, 2 * time.Hour, pause + 1},
		{"to be refreshed soon", pause - 1, 2 * time.Hour, pause},
		{"being refreshed", -time.Hour, 2 * time.Hour, pause},
		{"expires in an hour", 0, time.Hour, 55 * time.Minute},
		{"expires soon", 0, 5 * time.Minute, pause},
	} {
		t.Run(test.name, func(t *testing.T) {
			var token azcore.AccessToken
			if test.refreshOn != 0 {
				token.RefreshOn = now.Add(test.refreshOn)
			}
			if test.expires != 0 {
				token.ExpiresOn = now.Add(test.expires)
			}
			require.Equal(t, test.want, wait(token, now))
		})
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ name, url, want string }{
		{"TLS", "rediss://id@cache.invalid:10000", ""},
		{"local", "redis://id@127.0.0.1:6379", ""},
		{"clear", "redis://id@cache.invalid:6379", "verified TLS only"},
		{"another host that begins alike", "redis://id@127.0.0.1.invalid:6379", "verified TLS only"},
		{"certificate not checked", "rediss://id@cache.invalid:10000?skip_verify=true", "verified TLS only"},
		{"no user", "rediss://cache.invalid:10000", "object ID"},
		{"not a URL", "cache", "invalid URL scheme"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(test.url)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
	require.ErrorContains(t, run(t.Context(), nil, nil), "-url is needed")
}
