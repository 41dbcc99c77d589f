// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azidentity "github.com/azhost/azhost" // as in a file that used azidentity
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestDropIn compiles and runs code written for azidentity, with the import changed.
func TestDropIn(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.SetIdentities(azhosttest.UserAssigned("a"))
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
		opts.Source = azidentity.SourceIMDS // this machine may be another host
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

func TestCallersGetSeparateErrors(t *testing.T) {
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

func TestSDKDoesNotRetryErrors(t *testing.T) {
	type nonRetriable interface{ NonRetriable() }
	var _ nonRetriable = (*azidentity.AuthenticationFailedError)(nil)
	var _ nonRetriable = (*azidentity.CredentialUnavailableError)(nil)
	_, err := token(t.Context(), onVM(t, always(refusedDial)))
	var final nonRetriable
	require.ErrorAs(t, err, &final)
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

// TestTracedHit checks that a cached token has a span, too.
func TestTracedHit(t *testing.T) {
	var written safeBuffer
	cred := onVM(t, always(goodToken), func(o *azidentity.ManagedIdentityCredentialOptions) { o.TracingProvider = spans(&written) })
	for range 3 {
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
	}
	require.Equal(t, 3, strings.Count(written.String(), "ManagedIdentityCredential.GetToken"), written.String())
}

func TestClaimsBypassCache(t *testing.T) {
	imds := always(goodToken)
	cred := onVM(t, imds)
	for _, call := range []struct {
		claims   string
		requests int // so far
	}{{"", 1}, {"", 1}, {"revoked", 2}, {"revoked", 3}, {"", 3}} {
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault}, Claims: call.claims})
		require.NoError(t, err)
		require.Equal(t, call.requests, imds.Requests())
	}
}

func TestRefreshIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		imds := always(answer(200, `{"access_token":"a.b.c","expires_in":"86400","refresh_in":"3600"}`, "Server: IMDS/1.0"))
		cred := onVM(t, imds)
		start := time.Now()
		tk, err := token(t.Context(), cred)
		require.NoError(t, err)
		require.False(t, tk.RefreshOn.Before(start.Add(54*time.Minute)))
		require.False(t, tk.RefreshOn.After(start.Add(time.Hour)))
		time.Sleep(time.Until(tk.RefreshOn))
		again, err := token(t.Context(), cred)
		require.NoError(t, err)
		require.Equal(t, tk, again)
		synctest.Wait()
		require.Equal(t, 2, imds.Requests())
	})
}

// reader is a policy that reads a value of the request's context.
type reader struct{ got any }

type contextKey struct{}

func (r *reader) Do(req *policy.Request) (*http.Response, error) {
	r.got = req.Raw().Context().Value(contextKey{})
	return req.Next()
}

// TestFlightIgnoresCallerContext checks that a flight doesn't use values of a caller's context. Its result
// is for other callers as well, and it may outlive the caller.
func TestFlightIgnoresCallerContext(t *testing.T) {
	values := new(reader)
	var header http.Header
	cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
		header = req.Header
		return goodToken(req)
	}), func(o *azidentity.ManagedIdentityCredentialOptions) {
		o.PerRetryPolicies = []policy.Policy{values}
	})
	var captured *http.Response
	ctx := policy.WithCaptureResponse(context.WithValue(t.Context(), contextKey{}, "of the caller"), &captured)
	ctx = policy.WithHTTPHeader(ctx, http.Header{"Metadata": {"false"}, "X-Forwarded-For": {"10.0.0.1"}})
	_, err := token(ctx, cred)
	require.NoError(t, err)
	require.Nil(t, values.got)
	require.Nil(t, captured)
	require.Equal(t, []string{"true"}, header["Metadata"])
	require.Empty(t, header["X-Forwarded-For"])
}
