// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// herd lets 1,000 goroutines request a token at once, each for one of the given number of resources.
func herd(t *testing.T, cred *azhost.ManagedIdentityCredential, resources int) {
	var callers sync.WaitGroup
	for n := range 1000 {
		callers.Go(func() {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n%resources)}})
			require.NoError(t, err)
		})
	}
	callers.Wait()
}

func TestConcurrentCallersShareRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(10 * time.Millisecond)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		herd(t, cred, 1)
		vm.RequireRequests(t, 1)
	})
}

func TestConcurrentArcCallersShareExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		a.SetLatency(10 * time.Millisecond)
		herd(t, onArc(t, a), 1)
		a.RequireRequests(t, 2)
	})
}

func TestConcurrentCallersUnderIMDSLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		vm.SetLatency(10 * time.Millisecond)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		herd(t, cred, 20)
		vm.RequireRequests(t, 20)
		for _, r := range vm.Requests() {
			require.Equal(t, 200, r.Status)
		}
	})
}

// TestFourConcurrentRequests checks that four requests, not fewer or more, are sent at the same time.
func TestFourConcurrentRequests(t *testing.T) {
	for resources, took := range map[int]time.Duration{4: time.Second, 5: 2 * time.Second, 8: 2 * time.Second} {
		t.Run(fmt.Sprint(resources), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.SetLatency(time.Second)
				cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
				require.NoError(t, err)
				start := time.Now()
				herd(t, cred, resources)
				require.Equal(t, took, time.Since(start))
			})
		})
	}
}

func TestAtMostFourConcurrentRequests(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.Throttle(0, 4)
	vm.SetLatency(20 * time.Millisecond)
	var callers sync.WaitGroup
	for n := range 200 {
		callers.Go(func() {
			cred, err := azhost.NewManagedIdentityCredential(withDefaultTransport(vm.Options()))
			require.NoError(t, err)
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n%20)}})
			require.NoError(t, err)
		})
	}
	callers.Wait()
	for _, r := range vm.Requests() {
		require.Equal(t, 200, r.Status, "more than four at a time")
	}
}

// TestCanceledWaitForSlot checks that a request that waits for a slot is dropped with its last caller.
func TestCanceledWaitForSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		imds := always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Minute)
			return goodToken(req)
		})
		cred := onVM(t, imds)
		for n := range 4 {
			go cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n)}})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := token(ctx, cred)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Minute)
		require.Equal(t, 4, imds.Requests(), "a request without callers was sent")
	})
}

// TestBearerPolicyQueueFailsTogether checks callers that wait in azcore's bearer token policy, which calls
// GetToken for one request at a time. With azidentity, 20 failing requests take 20 times as long as one.
func TestBearerPolicyQueueFailsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		imds := always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(300 * time.Millisecond)
			return answer(403, `{"error":"no","error_description":"never"}`, "Server: IMDS/1.0")(req)
		})
		service := always(func(*http.Request) (*http.Response, error) { panic("request without a token") })
		client, err := azcore.NewClient("test", "v1.0.0", azruntime.PipelineOptions{
			PerRetry: []policy.Policy{azruntime.NewBearerTokenPolicy(onVM(t, imds), []string{vault + "/.default"}, nil)},
		}, &policy.ClientOptions{Transport: service})
		require.NoError(t, err)

		start := time.Now()
		var requests sync.WaitGroup
		for range 20 {
			requests.Go(func() {
				req, err := azruntime.NewRequest(t.Context(), http.MethodGet, "https://my-vault.vault.azure.net")
				require.NoError(t, err)
				_, err = client.Pipeline().Do(req)
				requireFailed(t, err)
			})
		}
		requests.Wait()
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		require.Equal(t, 1, imds.Requests())
	})
}

func TestCredentialsShareACache(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.SetIdentities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
	build := func(id azhost.ManagedIDKind) *azhost.ManagedIdentityCredential {
		o := withDefaultTransport(vm.Options())
		o.ID = id
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		return cred
	}
	keep := build(nil)
	for range 100 {
		_, err := token(t.Context(), build(nil))
		require.NoError(t, err)
	}
	vm.RequireRequests(t, 1)
	_, err := token(t.Context(), build(azhost.ClientID(azhosttest.UserAssigned("a").ClientID)))
	require.NoError(t, err)
	vm.RequireRequests(t, 2) // another identity

	for range 3 {
		o := vm.Options()
		another := *o.Transport.(*http.Client)
		o.Transport = &another
		own, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), own)
		require.NoError(t, err)
	}
	vm.RequireRequests(t, 5)

	perCall, perRetry := withDefaultTransport(vm.Options()), withDefaultTransport(vm.Options())
	perCall.PerCallPolicies = []policy.Policy{new(passOn)}
	perRetry.PerRetryPolicies = []policy.Policy{new(passOn)}
	for _, o := range []*azhost.ManagedIdentityCredentialOptions{perCall, perRetry} {
		own, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), own)
		require.NoError(t, err)
	}
	vm.RequireRequests(t, 7)
	runtime.KeepAlive(keep)
}

// withDefaultTransport returns a fake's options over loopback, with the default transport.
func withDefaultTransport(o *azhost.ManagedIdentityCredentialOptions) *azhost.ManagedIdentityCredentialOptions {
	o.Transport = nil
	return o
}
