// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/redis/go-redis/v9/auth"
	"github.com/stretchr/testify/require"
)

// connection is a listener that keeps its latest password.
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

// newTokens returns a source of a VM's tokens.
func newTokens(t *testing.T, vm *azhosttest.VM) *tokens {
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	t.Cleanup(func() { time.Sleep(5 * time.Minute) }) // a request that is under way outlives its callers
	return &tokens{ctx: t.Context(), user: "user", cred: cred}
}

// start subscribes a connection until the test ends.
func start(t *testing.T, vm *azhosttest.VM) (*connection, auth.UnsubscribeFunc) {
	c := &connection{}
	first, unsubscribe, err := newTokens(t, vm).Subscribe(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unsubscribe() })
	name, password := first.BasicAuth()
	require.Equal(t, "user", name)
	c.mu.Lock()
	defer c.mu.Unlock()
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

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		c, _ := start(t, vm)
		before, _ := c.state()
		vm.FailUntil(time.Now().Add(23*time.Hour), azhosttest.ServerError()) // half an hour and more before the end
		time.Sleep(23*time.Hour + 50*time.Minute)
		after, _ := c.state()
		require.True(t, before != after, "the token was not renewed after the outage")
		_, err := vm.Verify(after)
		require.NoError(t, err)
	})
}

func TestUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		c, unsubscribe := start(t, vm)
		time.Sleep(13 * time.Hour)
		_, times := c.state()
		require.Equal(t, 1, times)
		require.NoError(t, unsubscribe())
		require.NoError(t, unsubscribe())
		time.Sleep(72 * time.Hour)
		_, times = c.state()
		require.Equal(t, 1, times)
		vm.RequireTokens(t, 2) // no token is renewed for a closed connection
	})
}

// As go-redis requires, a listener that subscribes twice gets each token once, and either function ends
// both subscriptions.
func TestListenerSubscribesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		source, c := newTokens(t, vm), &connection{}
		_, unsubscribe, err := source.Subscribe(c)
		require.NoError(t, err)
		_, _, err = source.Subscribe(c)
		require.NoError(t, err)
		time.Sleep(13 * time.Hour)
		_, times := c.state()
		require.Equal(t, 1, times)
		require.NoError(t, unsubscribe())
		time.Sleep(13 * time.Hour)
		_, times = c.state()
		require.Equal(t, 1, times)
	})
}

func TestSubscribeReportsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(time.Minute - time.Second)
		_, _, err := newTokens(t, vm).Subscribe(&connection{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var failed *azhost.AuthenticationFailedError
		require.ErrorAs(t, err, &failed)
	})
}

// A client that is closing doesn't wait for a token.
func TestSubscribeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(time.Minute - time.Second)
		source := newTokens(t, vm)
		ctx, cancel := context.WithCancel(t.Context())
		source.ctx = ctx
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		_, _, err := source.Subscribe(&connection{})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ name, url, want string }{
		{"TLS", "rediss://id@cache.invalid:10000", ""},
		{"local", "redis://id@127.0.0.1:6379", ""},
		{"clear", "redis://id@cache.invalid:6379", "without verified TLS"},
		{"another host that begins alike", "redis://id@127.0.0.1.invalid:6379", "without verified TLS"},
		{"certificate not checked", "rediss://id@cache.invalid:10000?skip_verify=true", "without verified TLS"},
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
	require.ErrorContains(t, run(t.Context(), nil, nil), "-url is required")
}
