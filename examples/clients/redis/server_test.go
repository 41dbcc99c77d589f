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
	newToken := func() string { // claims get a new one from the host
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
		source := newTokens(config.Username, cred)
		config.StreamingCredentialsProvider, config.PoolSize = source, 1
		client := redis.NewClient(config)
		defer client.Close()
		source.feed(ctx)
		connection, err := client.ClientID(ctx).Result()
		require.NoError(t, err)
		require.Zero(t, reauthentications(t, ctx, admin))

		rotated := newToken()
		require.True(t, old != rotated)
		password(rotated)
		source.feed(ctx)
		source.feed(ctx) // nothing new: no second AUTH
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
	})

	t.Run("program", func(t *testing.T) {
		vm.ReuseTokens(true) // so that the program's token can be made the password beforehand
		password(newToken())
		var out bytes.Buffer
		require.NoError(t, run(ctx, &out, []string{"-url", "redis://" + id + "@" + address, "-endpoint", vm.Endpoint()}))
		require.Equal(t, "Redis knows this identity as "+id+"\n", out.String())
	})

	t.Run("program without a token", func(t *testing.T) {
		vm := azhosttest.NewVM(t) // another endpoint, and so another cache
		vm.SetIdentities()
		err := run(ctx, &bytes.Buffer{}, []string{"-url", "redis://" + id + "@" + address, "-endpoint", vm.Endpoint()})
		var unavailable *azhost.CredentialUnavailableError
		require.ErrorAs(t, err, &unavailable)
	})
}

// A Redis as it comes takes any password, and so does for a first try on a laptop.
func TestRedisWithoutPasswords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	address, _ := newServer(t, ctx)
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, []string{"-url", "redis://default@" + address, "-endpoint", vm.Endpoint()}))
	require.Equal(t, "Redis knows this identity as default\n", out.String())
	vm.RequireResource(t, "https://redis.azure.com")
}

const adminPassword = "of the test alone"

// newServer starts a Redis of the test's own on loopback, which the end of the test stops, and
// returns its address and an administrator's client.
func newServer(t *testing.T, ctx context.Context, args ...string) (string, *redis.Client) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no Redis here: apt-get install redis-server")
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
		_ = cmd.Wait() // t.Context, which ends before cleanups run, ends it
	}()
	t.Cleanup(func() { <-ended })
	admin := redis.NewClient(&redis.Options{Addr: address, Password: adminPassword, MaxRetries: -1})
	t.Cleanup(func() { _ = admin.Close() })
	for deadline := time.Now().Add(30 * time.Second); admin.Ping(ctx).Err() != nil; {
		require.True(t, time.Now().Before(deadline), "redis-server does not answer")
		select {
		case <-ended:
			require.FailNow(t, "redis-server ended", "%s", &log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return address, admin
}

// reauthentications counts the AUTH commands that succeeded. A new connection's HELLO is not one.
func reauthentications(t *testing.T, ctx context.Context, admin *redis.Client) int {
	info, err := admin.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	_, stats, _ := strings.Cut(info, "cmdstat_auth:calls=")
	calls, _, _ := strings.Cut(stats, ",")
	n, _ := strconv.Atoi(calls)
	return n
}
