// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package orders_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/testing/orders"
	"github.com/stretchr/testify/require"
)

// inMemory calls a handler without a socket, so that it can be used in a synctest bubble.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, req)
	return w.Result(), nil
}

// newClient returns a client that runs on the VM, of a service that accepts its system-assigned identity.
func newClient(t *testing.T, vm *azhosttest.VM) *orders.Client {
	t.Helper()
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	service := &orders.Service{Verify: vm.Verify, Buyers: []string{azhosttest.SystemAssigned().ObjectID}}
	return &orders.Client{URL: "https://orders.invalid", Credential: cred, HTTP: &http.Client{Transport: inMemory{service}}}
}

func TestPlace(t *testing.T) {
	vm := azhosttest.NewVM(t)
	answer, err := newClient(t, vm).Place(t.Context(), "a pen")
	require.NoError(t, err)
	require.Equal(t, "ordered by "+azhosttest.SystemAssigned().ObjectID, answer)
	vm.RequireResource(t, orders.Audience)
}

// Many callers share one token request, so IMDS's limits don't matter.
func TestConcurrentOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		vm.SetLatency(time.Second)
		client := newClient(t, vm)
		var all sync.WaitGroup
		failed := make(chan error, 200)
		for range cap(failed) {
			all.Go(func() {
				if _, err := client.Place(t.Context(), "a pen"); err != nil {
					failed <- err
				}
			})
		}
		all.Wait()
		require.Empty(t, failed)
		vm.RequireRequests(t, 1)
	})
}

// The first order waits until IMDS is back after an update. In a bubble, that takes no real time.
func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		_, err := newClient(t, vm).Place(t.Context(), "a pen")
		require.NoError(t, err)
		require.Greater(t, vm.RequestCount(), 1, "IMDS never failed")
	})
}

// While IMDS is down, orders succeed until the token expires, then fail.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		client := newClient(t, vm)
		_, err := client.Place(t.Context(), "a pen")
		require.NoError(t, err)

		vm.Stop()
		time.Sleep(24*time.Hour - time.Second) // on the bubble's clock
		_, err = client.Place(t.Context(), "a pen")
		require.NoError(t, err, "the token is still valid")

		time.Sleep(time.Second)
		_, err = client.Place(t.Context(), "a pen")
		require.ErrorContains(t, err, "refused")

		require.NoError(t, vm.Start())
		time.Sleep(2 * time.Second) // azhost remembers a failure for about one second
		_, err = client.Place(t.Context(), "a pen")
		require.NoError(t, err)
	})
}

// The service is tested with a valid token, and with tokens that each have one fault.
func TestService(t *testing.T) {
	newToken := func(t *testing.T, vm *azhosttest.VM, scope string) string {
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		require.NoError(t, err)
		return token.Token
	}
	for _, test := range []struct {
		name  string
		token func(t *testing.T, vm *azhosttest.VM) string
		want  int
	}{
		{"valid", func(t *testing.T, vm *azhosttest.VM) string {
			return newToken(t, vm, orders.Audience)
		}, http.StatusOK},
		{"wrong audience", func(t *testing.T, vm *azhosttest.VM) string {
			return newToken(t, vm, "api://bills")
		}, http.StatusUnauthorized},
		{"wrong issuer", func(t *testing.T, _ *azhosttest.VM) string {
			return newToken(t, azhosttest.NewVM(t), orders.Audience)
		}, http.StatusUnauthorized},
		{"wrong signature", func(t *testing.T, vm *azhosttest.VM) string {
			token := newToken(t, vm, orders.Audience)
			return token[:strings.LastIndex(token, ".")+1] + strings.Repeat("A", 86)
		}, http.StatusUnauthorized},
		{"wrong identity", func(t *testing.T, vm *azhosttest.VM) string {
			vm.SetIdentities(azhosttest.UserAssigned("reader"))
			return newToken(t, vm, orders.Audience)
		}, http.StatusForbidden},
	} {
		t.Run(test.name, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			service := &orders.Service{Verify: vm.Verify, Buyers: []string{azhosttest.SystemAssigned().ObjectID}}
			req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("a pen"))
			req.Header.Set("Authorization", "Bearer "+test.token(t, vm))
			w := httptest.NewRecorder()
			service.ServeHTTP(w, req)
			require.Equal(t, test.want, w.Code, w.Body)
		})
	}
}

// In a bubble, waiting for a token to expire takes no real time.
func TestExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		client := newClient(t, vm)
		client.Credential = &hoarder{TokenCredential: client.Credential}
		_, err := client.Place(t.Context(), "a pen")
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		_, err = client.Place(t.Context(), "a pen")
		require.ErrorContains(t, err, "401 Unauthorized: invalid token")
	})
}

// hoarder always returns its first token.
type hoarder struct {
	azcore.TokenCredential
	token azcore.AccessToken
}

func (h *hoarder) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if h.token.Token == "" {
		var err error
		if h.token, err = h.TokenCredential.GetToken(ctx, opts); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	return h.token, nil
}

// Without an identity, the client's error says so.
func TestNoIdentity(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	_, err := newClient(t, vm).Place(t.Context(), "a pen")
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
}
