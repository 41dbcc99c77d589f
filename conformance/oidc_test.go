// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
)

// newService returns a service under test. It responds with the caller's identity, or with 401 if the token
// isn't for its audience or isn't signed by its issuer.
func newService(ctx context.Context, issuer, audience string) (http.Handler, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: audience})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := verifier.Verify(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.Header().Set("Caller", token.Subject)
	}), nil
}

func TestServiceWithGoOIDC(t *testing.T) {
	t.Parallel()
	vm, other := azhosttest.NewVM(t), azhosttest.NewVM(t)
	handler, err := newService(t.Context(), vm.ServeIssuer(), "api://orders")
	require.NoError(t, err)
	service := httptest.NewServer(handler)
	defer service.Close()
	other.ServeIssuer()

	call := func(vm *azhosttest.VM, resource string) *http.Response {
		t.Helper()
		cred, err := azhost.NewManagedIdentityCredential(vm.Options())
		require.NoError(t, err)
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, service.URL, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token.Token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	resp := call(vm, "api://orders")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, system.ObjectID, resp.Header.Get("Caller"))
	require.Equal(t, http.StatusUnauthorized, call(vm, "api://another").StatusCode)
	require.Equal(t, http.StatusUnauthorized, call(other, "api://orders").StatusCode)
}

// Without ServeIssuer, tokens have Microsoft Entra's issuer. The service's HTTP client gets its metadata
// from the fake.
func TestServiceWithGoOIDCInMemory(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	client := &http.Client{Transport: roundTrip(vm.Do)}
	handler, err := newService(oidc.ClientContext(t.Context(), client), vm.Issuer(), "api://orders")
	require.NoError(t, err)
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"api://orders/.default"}})
	require.NoError(t, err)

	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer "+token.Token)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	require.Equal(t, http.StatusOK, answer.Code, answer.Body)
	require.Equal(t, system.ObjectID, answer.Header().Get("Caller"))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
