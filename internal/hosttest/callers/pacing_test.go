// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// all requests tokens for n resources at once, and returns how many calls failed.
func all(ctx context.Context, cred *azhost.ManagedIdentityCredential, n int) int {
	var callers sync.WaitGroup
	var failed atomic.Int32
	for n := range n {
		callers.Go(func() {
			if _, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n)}}); err != nil {
				failed.Add(1)
			}
		})
	}
	callers.Wait()
	return int(failed.Load())
}

// TestRequestsArePaced checks that requests for many resources stay within IMDS's limits, 20 requests in
// any second and 5 at a time, and take no longer than the limits require.
func TestRequestsArePaced(t *testing.T) {
	for resources, takes := range map[int]time.Duration{100: 4 * time.Second, 400: 19 * time.Second} {
		for name, options := range map[string]policy.RetryOptions{
			"":                      {},
			", TryTimeout a second": {TryTimeout: time.Second}, // which doesn't include the wait for a turn
			", no retries":          {MaxRetries: -1},
		} {
			t.Run(fmt.Sprint(resources, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					vm := azhosttest.NewVM(t)
					vm.Throttle(20, 5)
					vm.SetLatency(10 * time.Millisecond)
					o := vm.InMemory()
					o.Retry = options
					cred, err := azhost.NewManagedIdentityCredential(o)
					require.NoError(t, err)
					start := time.Now()
					require.Zero(t, all(t.Context(), cred, resources))
					require.GreaterOrEqual(t, time.Since(start), takes)
					require.LessOrEqual(t, time.Since(start), takes+takes/10)
					vm.RequireRequests(t, resources)
					for _, r := range vm.Requests() {
						require.Equal(t, http.StatusOK, r.Status)
					}
				})
			})
		}
	}
}

// TestCanceledWhilePaced checks that callers that leave the queue send no request and don't delay the
// others.
func TestCanceledWhilePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		vm.SetLatency(10 * time.Millisecond)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		require.Equal(t, 80, all(ctx, cred, 100))
		require.Equal(t, 500*time.Millisecond, time.Since(start))
		vm.RequireRequests(t, 20)
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(start), 1100*time.Millisecond)
		vm.RequireRequests(t, 21)
	})
}

// TestOneRetrySchedulePerOutage checks that after a whole schedule, each call makes one attempt, for five
// minutes or until the host recovers, whatever its resource or identity.
func TestOneRetrySchedulePerOutage(t *testing.T) {
	failing := answer(500, "", "Server: IMDS/1.0")
	for _, test := range []struct {
		name        string
		host        func(*http.Request) (*http.Response, error)
		then        func(*http.Request) (*http.Response, error)
		after, next int // requests of the first call after the change, and of the next one, when the host is failing
	}{
		{"still failing", failing, failing, 1, 1},
		{"still silent, then responds", refusedDial, refusedDial, 1, 6},
		{"silent, then responds", refusedDial, failing, 6, 1},
		{"rejects", failing, answer(403, "no", "Server: IMDS/1.0"), 1, 6},
		{"recovers", failing, goodToken, 1, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := test.host
				imds := always(func(req *http.Request) (*http.Response, error) { return host(req) })
				cred := onVM(t, imds, known)
				other := onVM(t, imds, known, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("other") })
				n := 0
				ask := func(cred *azhost.ManagedIdentityCredential, requests int) {
					t.Helper()
					before := imds.Requests()
					_, _ = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n)}})
					require.Equal(t, requests, imds.Requests()-before)
					n++
				}
				ask(cred, 6)
				spent := time.Now()
				ask(cred, 1)
				ask(other, 1)
				require.Equal(t, spent, time.Now(), "retried although the schedule was spent")
				time.Sleep(time.Minute)
				host = test.then
				ask(other, test.after)
				host = failing
				ask(cred, test.next)
				time.Sleep(5 * time.Minute)
				ask(cred, 6) // once more
			})
		})
	}
}
