// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	azidentity "github.com/azhost/azhost" // a user's file of azidentity, with the import changed
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestDropIn compiles and runs azidentity's own way of use.
func TestDropIn(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.Identities(azhosttest.UserAssigned("a"))
	for _, id := range []azidentity.ManagedIDKind{
		nil,
		azidentity.ClientID(azhosttest.UserAssigned("a").ClientID),
		azidentity.ObjectID(azhosttest.UserAssigned("a").ObjectID),
		azidentity.ResourceID(azhosttest.UserAssigned("a").ResourceID),
	} {
		opts := azidentity.ManagedIdentityCredentialOptions{
			ClientOptions: policy.ClientOptions{
				Transport: vm,
				Retry:     policy.RetryOptions{MaxRetries: -1},
			},
			ID: id,
		}
		opts.Source = azidentity.SourceIMDS // this machine may be another host; users need not
		cred, err := azidentity.NewManagedIdentityCredential(&opts)
		require.NoError(t, err)
		var asToken azcore.TokenCredential = cred
		tk, err := asToken.GetToken(context.Background(), policy.TokenRequestOptions{
			Scopes: []string{"https://management.azure.com//.default"}, EnableCAE: true, TenantID: "any",
		})
		require.NoError(t, err)
		require.NotEmpty(t, tk.Token)
		vm.RequireResource(t, "https://management.azure.com/")

		_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{})
		var failed *azidentity.AuthenticationFailedError
		require.ErrorAs(t, err, &failed)
		require.Nil(t, failed.RawResponse)
	}
}

func TestScopes(t *testing.T) {
	cred := onVM(t, always(goodToken))
	for name, scopes := range map[string][]string{
		"none": nil, "two": {vault, vault}, "empty": {""}, "suffix alone": {"/.default"}, "dot": {"./.default"},
		"space": {"https://vault.azure.net /.default"}, "newline": {"https://vault.azure.net\n"}, "NUL": {"a\x00"},
		"invalid UTF-8": {"https://\xff"}, "long": {string(make([]byte, 3000))},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes})
			requireFailed(t, err)
			require.ErrorContains(t, err, "scope")
		})
	}
	scopes := []string{vault + "/.default"}
	_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes})
	require.NoError(t, err)
	require.Equal(t, []string{vault + "/.default"}, scopes, "the caller's scopes were changed")
}

func TestCallersGetTheirOwnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cred := onVM(t, always(answer(403, `{"error":"no","error_description":"never"}`, "Server: IMDS/1.0")))
		errs := make([]error, 10)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() { _, errs[i] = token(t.Context(), cred) })
		}
		callers.Wait()
		for _, err := range errs {
			body, err := io.ReadAll(requireFailed(t, err).RawResponse.Body)
			require.NoError(t, err)
			require.JSONEq(t, `{"error":"no","error_description":"never"}`, string(body), "another caller has read it")
		}
	})
}

// TestQueueInBearerPolicyFailsTogether: azcore's own policy lets one request at a time ask the
// credential, and after a failure the next. With azidentity 20 of them take 20 times as long as one.
func TestQueueInBearerPolicyFailsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		imds := always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(300 * time.Millisecond)
			return answer(403, `{"error":"no","error_description":"never"}`, "Server: IMDS/1.0")(req)
		})
		service := always(func(*http.Request) (*http.Response, error) { panic("asked without a token") })
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
		require.Equal(t, 1, imds.requests())
	})
}

func TestErrorsAreNotRetriedByTheSDK(t *testing.T) {
	type nonRetriable interface{ NonRetriable() }
	var _ nonRetriable = (*azidentity.AuthenticationFailedError)(nil)
	var _ nonRetriable = (*azidentity.CredentialUnavailableError)(nil)
	_, err := token(t.Context(), onVM(t, always(refusedDial)))
	var final nonRetriable
	require.ErrorAs(t, err, &final)
}

func TestCredentialsShareACache(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.Identities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
	build := func(id azidentity.ManagedIDKind) *azidentity.ManagedIdentityCredential {
		o := withDefaultTransport(vm.Options())
		o.ID = id
		cred, err := azidentity.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		return cred
	}
	keep := build(nil)
	for range 100 {
		_, err := token(t.Context(), build(nil))
		require.NoError(t, err)
	}
	vm.RequireRequests(t, 1)
	_, err := token(t.Context(), build(azidentity.ClientID(azhosttest.UserAssigned("a").ClientID)))
	require.NoError(t, err)
	vm.RequireRequests(t, 2) // another identity

	for range 3 {
		own, err := azidentity.NewManagedIdentityCredential(vm.Options()) // with its own Transport
		require.NoError(t, err)
		_, err = token(t.Context(), own)
		require.NoError(t, err)
	}
	vm.RequireRequests(t, 5)

	o := withDefaultTransport(vm.Options())
	o.PerCallPolicies = []policy.Policy{new(counter)}
	own, err := azidentity.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	_, err = token(t.Context(), own)
	require.NoError(t, err)
	vm.RequireRequests(t, 6)
	runtime.KeepAlive(keep)
}

func TestAtMostFourRequestsAtOnce(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.Throttle(0, 4)
	vm.Latency(20 * time.Millisecond)
	var callers sync.WaitGroup
	for n := range 200 {
		callers.Go(func() {
			cred, err := azidentity.NewManagedIdentityCredential(withDefaultTransport(vm.Options()))
			require.NoError(t, err)
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n%20)}})
			require.NoError(t, err)
		})
	}
	callers.Wait()
	for _, r := range vm.Requests() {
		require.Equal(t, 200, r.Status, "more than four at once")
	}
}

func TestHerdUnderIMDSLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		vm.Latency(10 * time.Millisecond)
		cred, err := azidentity.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		var callers sync.WaitGroup
		for n := range 1000 {
			callers.Go(func() {
				_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://", n%20)}})
				require.NoError(t, err)
			})
		}
		callers.Wait()
		vm.RequireRequests(t, 20)
		for _, r := range vm.Requests() {
			require.Equal(t, 200, r.Status)
		}
	})
}

func TestArcHerdIsOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		a.Latency(10 * time.Millisecond)
		cred := onArc(t, a)
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
			})
		}
		callers.Wait()
		a.RequireRequests(t, 2)
	})
}

func TestGetTokenHitAllocatesNothing(t *testing.T) {
	cred := onVM(t, always(goodToken))
	options := policy.TokenRequestOptions{Scopes: []string{vault + "/.default"}, EnableCAE: true}
	ctx := t.Context()
	_, err := cred.GetToken(ctx, options)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := cred.GetToken(ctx, options); err != nil {
			t.Fatal(err)
		}
	}))
}
