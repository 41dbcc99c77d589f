// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// This file tests what users report about tokens that are requested too often.

// TestCredentialPerUse checks programs that create a credential for every connection, as go-mssqldb does,
// or for every use, as Vault and Prometheus do. The cache outlives the credentials, with the default
// transport and with a shared client, and keeps serving tokens while the host is down.
func TestCredentialPerUse(t *testing.T) {
	client := &http.Client{}
	for name, newHost := range map[string]func(t *testing.T) (host *azhosttest.Host, o azhost.ManagedIdentityCredentialOptions, requests int){
		"a VM": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			vm := azhosttest.NewVM(t)
			return &vm.Host, azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: vm.Endpoint()}, 1
		},
		"a VM, one client": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			vm := azhosttest.NewVM(t)
			o := azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: vm.Endpoint()}
			o.Transport = client
			return &vm.Host, o, 1
		},
		"a VM, user-assigned": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			vm := azhosttest.NewVM(t)
			a := azhosttest.UserAssigned("a")
			vm.SetIdentities(a)
			return &vm.Host, azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: vm.Endpoint(), ID: azhost.ResourceID(a.ResourceID)}, 1
		},
		"an Arc server": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			a := azhosttest.NewArc(t)
			return &a.Host, azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, Endpoint: a.Endpoint(), ArcKeyDirectory: a.KeyDirectory()}, 2
		},
		"an Arc server with one client": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			a := azhosttest.NewArc(t)
			o := azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, Endpoint: a.Endpoint(), ArcKeyDirectory: a.KeyDirectory()}
			o.Transport = client
			return &a.Host, o, 2
		},
		"App Service, one client": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			app := azhosttest.NewAppService(t)
			app.Setenv(t)
			var o azhost.ManagedIdentityCredentialOptions
			o.Transport = client
			return &app.Host, o, 1
		},
		"App Service": func(t *testing.T) (*azhosttest.Host, azhost.ManagedIdentityCredentialOptions, int) {
			app := azhosttest.NewAppService(t)
			app.Setenv(t)
			return &app.Host, azhost.ManagedIdentityCredentialOptions{}, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, o, requests := newHost(t)
			for n := range 50 {
				own := o
				cred, err := azhost.NewManagedIdentityCredential(&own)
				require.NoError(t, err)
				_, err = token(t.Context(), cred)
				require.NoError(t, err)
				if n%10 == 0 {
					runtime.GC()
				}
				host.Stop()
			}
			host.RequireRequests(t, requests)
		})
	}
}

// TestServiceRejectsToken checks that without claims, calls get the same rejected token until the program
// calls Invalidate.
func TestServiceRejectsToken(t *testing.T) {
	type fake interface {
		InMemory() *azhost.ManagedIdentityCredentialOptions
		Requests() []azhosttest.Request
		RequireTokens(testing.TB, int)
	}
	for name, newHost := range map[string]func(*testing.T) fake{
		"a VM":          func(t *testing.T) fake { return azhosttest.NewVM(t) },
		"an Arc server": func(t *testing.T) fake { return azhosttest.NewArc(t) },
		"a Cloud Shell": func(t *testing.T) fake { return azhosttest.NewCloudShell(t) },
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			host := newHost(t)
			cred, err := azhost.NewManagedIdentityCredential(host.InMemory())
			require.NoError(t, err)
			get := func() string {
				tk, err := token(t.Context(), cred)
				require.NoError(t, err)
				return tk.Token
			}
			refused := get()
			for _, other := range []string{"", "another", refused[1:]} {
				cred.Invalidate(other)
				require.Equal(t, refused, get())
			}
			var all sync.WaitGroup
			for range 100 { // as many as use the token at the same time
				all.Go(func() {
					cred.Invalidate(refused)
					require.NotEqual(t, refused, get())
				})
			}
			all.Wait()
			host.RequireTokens(t, 2)
			if _, ok := host.(*azhosttest.Arc); ok {
				requests := host.Requests()
				require.Equal(t, "true", requests[len(requests)-1].Query.Get("bypass_cache"))
			}
			for range 100 { // a service that rejects every token
				cred.Invalidate(get())
			}
			host.RequireTokens(t, 2)
			time.Sleep(time.Minute)
			cred.Invalidate(get())
			get()
			host.RequireTokens(t, 3)
		})
	}
	inBubble(t, "claims before any token", nil, func(t *testing.T) { // another program may have filled the agent's cache
		arc := azhosttest.NewArc(t)
		cred, err := azhost.NewManagedIdentityCredential(arc.InMemory())
		require.NoError(t, err)
		_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault}, Claims: "{}"})
		require.NoError(t, err)
		for _, request := range arc.Requests() {
			require.Equal(t, "true", request.Query.Get("bypass_cache"))
		}
	})
	inBubble(t, "the other resources keep their tokens", nil, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		tokens := map[int]string{}
		get := func(n int) string {
			tk, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://r", n)}})
			require.NoError(t, err)
			return tk.Token
		}
		for n := range 5 {
			tokens[n] = get(n)
		}
		cred.Invalidate(tokens[3])
		for n := range 5 {
			if n == 3 {
				require.NotEqual(t, tokens[n], get(n))
			} else {
				require.Equal(t, tokens[n], get(n))
			}
		}
	})
}
