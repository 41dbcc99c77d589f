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

// inMemory calls a handler without a socket, which a bubble of synctest needs.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, req)
	return w.Result(), nil
}

// newClient returns a client on the VM, of a service that sells to its system-assigned identity.
func newClient(t *testing.T, vm *azhosttest.VM) *orders.Client {
	t.Helper()
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	service := &orders.Service{Verify: vm.Verify, Buyers: []string{azhosttest.SystemAssigned().ObjectID}}
	return &orders.Client{URL: "https://orders.invalid", Credential: cred, HTTP: &http.Client{Transport: inMemory{service}}}
}

func TestOrderIsPlaced(t *testing.T) {
	vm := azhosttest.NewVM(t)
	answer, err := newClient(t, vm).Place(t.Context(), "a pen")
	require.NoError(t, err)
	require.Equal(t, "ordered by "+azhosttest.SystemAssigned().ObjectID, answer)
	vm.RequireResource(t, orders.Audience)
}

// A herd of callers costs one token request, whatever IMDS's limits.
func TestHerd(t *testing.T) {
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

// The first order after a boot waits until IMDS is back from an update: no time in a bubble.
func TestOutageAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		_, err := newClient(t, vm).Place(t.Context(), "a pen")
		require.NoError(t, err)
		require.Greater(t, vm.RequestCount(), 1, "there was no outage to wait out")
	})
}

// An outage costs nothing while the token is valid, and then it is an error that says so.
func TestOutageOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		client := newClient(t, vm)
		_, err := client.Place(t.Context(), "a pen")
		require.NoError(t, err)

		vm.Stop()
		time.Sleep(24*time.Hour - time.Second) // the bubble's clock, not yours
		_, err = client.Place(t.Context(), "a pen")
		require.NoError(t, err, "the token was still valid")

		time.Sleep(time.Second)
		_, err = client.Place(t.Context(), "a pen")
		require.ErrorContains(t, err, "refused")

		require.NoError(t, vm.Start())
		time.Sleep(2 * time.Second) // a failure is remembered for about one
		_, err = client.Place(t.Context(), "a pen")
		require.NoError(t, err)
	})
}

// What the service makes of tokens is tested with real ones: good, and bad in one respect each.
func TestServiceChecksTokens(t *testing.T) {
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
		{"good", func(t *testing.T, vm *azhosttest.VM) string {
			return newToken(t, vm, orders.Audience)
		}, http.StatusOK},
		{"for another service", func(t *testing.T, vm *azhosttest.VM) string {
			return newToken(t, vm, "api://bills")
		}, http.StatusUnauthorized},
		{"of another issuer", func(t *testing.T, _ *azhosttest.VM) string {
			return newToken(t, azhosttest.NewVM(t), orders.Audience)
		}, http.StatusUnauthorized},
		{"with another signature", func(t *testing.T, vm *azhosttest.VM) string {
			token := newToken(t, vm, orders.Audience)
			return token[:strings.LastIndex(token, ".")+1] + strings.Repeat("A", 86)
		}, http.StatusUnauthorized},
		{"of another identity", func(t *testing.T, vm *azhosttest.VM) string {
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

// A token that has expired is what a bubble's clock makes of a good one.
func TestServiceRefusesExpiredTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		client := newClient(t, vm)
		client.Credential = &hoarder{TokenCredential: client.Credential}
		_, err := client.Place(t.Context(), "a pen")
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		_, err = client.Place(t.Context(), "a pen")
		require.ErrorContains(t, err, "401 Unauthorized: the token does not hold")
	})
}

// hoarder returns its first token for ever.
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

// On a machine without an identity, the client's error says what to do.
func TestNoIdentity(t *testing.T) {
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	_, err := newClient(t, vm).Place(t.Context(), "a pen")
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
}
