// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	id := azhosttest.SystemAssigned().ObjectID
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	newToken := func() string { // claims make azhost request a new token
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, Claims: "{}"})
		require.NoError(t, err)
		return token.Token
	}
	address, admin := newServer(t, ctx, "--requirepass", adminPassword)
	password := func(token string) {
		require.NoError(t, admin.Do(ctx, "ACL", "SETUSER", id, "on", "resetpass", ">"+token, "~*", "&*", "+@all").Err())
	}

	t.Run("a live connection signs in again", func(t *testing.T) {
		old := newToken()
		password(old)
		config, err := parse("redis://" + id + "@" + address)
		require.NoError(t, err)
		source := &tokens{ctx: ctx, user: config.Username, cred: cred}
		config.StreamingCredentialsProvider, config.PoolSize = source, 1
		client := redis.NewClient(config)
		defer client.Close()
		connection, err := client.ClientID(ctx).Result()
		require.NoError(t, err)
		require.Zero(t, reauthentications(t, ctx, admin))

		rotated := newToken()
		require.True(t, old != rotated)
		password(rotated)
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			require.NoError(c, client.Ping(ctx).Err()) // go-redis signs in when the connection is back in the pool
			require.Equal(c, 1, reauthentications(t, ctx, admin))
		}, 30*time.Second, 10*time.Millisecond)
		clients, err := admin.ClientList(ctx).Result()
		require.NoError(t, err)
		require.Regexp(t, fmt.Sprintf(`(?m)^id=%d .* user=%s `, connection, id), clients, "the connection is gone")

		config, err = parse("redis://" + id + "@" + address)
		require.NoError(t, err)
		config.Password = old
		stranger := redis.NewClient(config)
		defer stranger.Close()
		require.ErrorContains(t, stranger.Ping(ctx).Err(), "WRONGPASS", "the old token still works")
		vm.RequireResource(t, "https://redis.azure.com")

		require.NoError(t, client.Close())
		source.subscriptions.Range(func(any, any) bool {
			require.Fail(t, "a closed connection is still subscribed")
			return false
		})
	})

	t.Run("program", func(t *testing.T) {
		vm.ReuseTokens(true) // the program gets the token that the user has
		password(newToken())
		var out bytes.Buffer
		require.NoError(t, run(ctx, &out, []string{"-url", "redis://" + id + "@" + address, "-endpoint", vm.Endpoint()}))
		require.Equal(t, "Redis signed in as "+id+"\n", out.String())
	})

	t.Run("program without a token", func(t *testing.T) {
		vm := azhosttest.NewVM(t) // with another endpoint, and so another cache
		vm.SetIdentities()
		err := run(ctx, &bytes.Buffer{}, []string{"-url", "redis://" + id + "@" + address, "-endpoint", vm.Endpoint()})
		var unavailable *azhost.CredentialUnavailableError
		require.ErrorAs(t, err, &unavailable)
	})
}

// The error message without -url suggests this server for a first try.
func TestRedisThatAcceptsAnyPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	address, _ := newServer(t, ctx)
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, []string{"-url", "redis://default@" + address, "-endpoint", vm.Endpoint()}))
	require.Equal(t, "Redis signed in as default\n", out.String())
	vm.RequireResource(t, "https://redis.azure.com")
}

const adminPassword = "for this test only"

// newServer starts a Redis on 127.0.0.1, stops it when the test ends, and returns its address and
// an administrator's client.
func newServer(t *testing.T, ctx context.Context, args ...string) (string, *redis.Client) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not on the PATH: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	_, port, _ := strings.Cut(address, ":")

	cmd := exec.CommandContext(t.Context(), bin, append([]string{"--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)...)
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // t.Context stops it before cleanups run
	}()
	t.Cleanup(func() { <-ended })
	admin := redis.NewClient(&redis.Options{Addr: address, Password: adminPassword, MaxRetries: -1})
	t.Cleanup(func() { _ = admin.Close() })
	for deadline := time.Now().Add(30 * time.Second); admin.Ping(ctx).Err() != nil; {
		require.True(t, time.Now().Before(deadline), "redis-server does not respond")
		select {
		case <-ended:
			require.FailNow(t, "redis-server ended", "%s", &log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return address, admin
}

// reauthentications returns the number of AUTH commands that succeeded. A new connection signs in
// by HELLO instead.
func reauthentications(t *testing.T, ctx context.Context, admin *redis.Client) int {
	info, err := admin.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	_, stats, _ := strings.Cut(info, "cmdstat_auth:calls=")
	calls, _, _ := strings.Cut(stats, ",")
	n, _ := strconv.Atoi(calls)
	return n
}
