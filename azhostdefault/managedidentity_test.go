// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// next follows the default credential in an outer chain.
type next struct{ asked bool }

func (n *next) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	n.asked = true
	return azcore.AccessToken{Token: "next", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// If another metadata service responds, the credential is unavailable at once and an outer chain continues.
// With azidentity, the chain stops, after more than a minute if the response is 404.
func TestForeignMetadataService(t *testing.T) {
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "prod") // no developer tools, whose processes would stop the bubble's clock
	for name, row := range map[string]struct {
		fault   azhosttest.Fault
		retried bool // by azidentity
	}{
		"EC2's 404": {azhosttest.Fault{Status: 404, Body: "<html><body>404 - Not Found</body></html>", Header: http.Header{"Server": {"EC2ws"}}}, true},
		"EC2's 401": {azhosttest.Fault{Status: 401, Body: "<html><body>401 - Unauthorized</body></html>", Header: http.Header{"Server": {"EC2ws"}}}, false},
		"GCE's 404": {azhosttest.Fault{Status: 404, Body: "<!DOCTYPE html><title>Error 404</title>", Header: http.Header{"Metadata-Flavor": {"Google"}}}, true},
		"GCE's 403": {azhosttest.Fault{Status: 403, Body: "Missing Metadata-Flavor:Google header.", Header: http.Header{"Server": {"Metadata Server for VM"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(t *testing.T, create constructor) (asked bool, took time.Duration) {
				synctest.Test(t, func(t *testing.T) {
					vm := azhosttest.NewVM(t)
					vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return row.fault, true })
					var o azidentity.DefaultAzureCredentialOptions
					o.Transport = vm
					cred, err := create(&o)
					require.NoError(t, err)
					var second next
					chain, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cred, &second}, nil)
					require.NoError(t, err)
					start := time.Now()
					_, err = chain.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{newScope()}})
					require.Equal(t, second.asked, err == nil)
					asked, took = second.asked, time.Since(start)
				})
				return asked, took
			}
			asked, took := ask(t, newOwn)
			require.True(t, asked)
			require.Zero(t, took)
			asked, took = ask(t, newPeer)
			require.False(t, asked)
			require.Equal(t, row.retried, took > time.Minute, "%s", took)
		})
	}
}

// A cached token is returned while IMDS is silent, even if IMDS was updating when it was requested.
func TestCachedTokenOutlivesIMDS(t *testing.T) {
	setenv(t, containerGroup)
	for name, updating := range map[string][]bool{
		"updating at the first call": {true, false},
		"updating at a later call":   {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				var o azidentity.DefaultAzureCredentialOptions
				o.Transport = vm
				create := func() azcore.TokenCredential {
					cred, err := newOwn(&o)
					require.NoError(t, err)
					return cred
				}
				get := func(cred azcore.TokenCredential, scope string) {
					_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
					require.NoError(t, err)
				}
				cred := create()
				var scopes []string
				for _, updating := range updating {
					if updating {
						vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
					}
					scopes = append(scopes, newScope())
					get(cred, scopes[len(scopes)-1])
				}
				vm.Silence(true)
				start := time.Now()
				for _, scope := range scopes {
					get(cred, scope)
					get(create(), scope)
				}
				require.Zero(t, time.Since(start))
			})
		})
	}
}

// Any number of callers share one request for the token of a managed identity. With azidentity, each of
// them sends one.
func TestOneRequestForAllCallers(t *testing.T) {
	const callers = 100
	for name, row := range map[string]struct {
		create   constructor
		requests int
	}{
		"own":  {newOwn, 1},
		"peer": {newPeer, callers},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				var o azidentity.DefaultAzureCredentialOptions
				o.Transport = vm
				cred, err := row.create(&o)
				require.NoError(t, err)
				get := func(scope string) {
					_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
					require.NoError(t, err)
				}
				get(newScope()) // selects the managed identity
				before, scope := vm.RequestCount(), newScope()
				vm.SetLatency(time.Second)
				var all sync.WaitGroup
				for range callers {
					all.Go(func() { get(scope) })
				}
				all.Wait()
				require.Equal(t, row.requests, vm.RequestCount()-before)
			})
		})
	}
}

// errors.As finds azidentity's error and its response, before and after a managed identity has been
// selected.
func TestErrorMatchesAzidentity(t *testing.T) {
	vm := azhosttest.NewVM(t)
	var o azhostdefault.DefaultAzureCredentialOptions
	o.Transport = vm
	cred, err := azhostdefault.NewDefaultAzureCredential(&o)
	require.NoError(t, err)
	get := func() error {
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{newScope()}})
		return err
	}
	var failed *azidentity.AuthenticationFailedError
	check := func(err error) {
		t.Helper()
		require.ErrorAs(t, err, &failed)
		require.Equal(t, http.StatusBadRequest, failed.RawResponse.StatusCode)
		require.ErrorContains(t, err, "invalid_resource")
	}

	vm.Fail(azhosttest.InvalidResource())
	check(get())
	require.NoError(t, get())
	vm.Fail(azhosttest.InvalidResource())
	err = get()
	check(err)
	var own *azhost.AuthenticationFailedError
	require.ErrorAs(t, err, &own)
	require.Equal(t, "ManagedIdentityCredential: "+own.Error(), err.Error())
}

// AZURE_CLIENT_ID from a file or a secret may end with a newline. azidentity sends it to the host, and skips
// the managed identity if the variable is empty.
func TestClientIDIsTrimmed(t *testing.T) {
	for name, row := range map[string]struct {
		value, own, peer string // peer is "" if azidentity gets no token
	}{
		"newline": {user.ClientID + "\n", user.ObjectID, ""},
		"spaces":  {"  " + user.ClientID + " ", user.ObjectID, ""},
		"blank":   {" \n", system.ObjectID, ""},
		"empty":   {"", system.ObjectID, ""},
		"exact":   {user.ClientID, user.ObjectID, user.ObjectID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AZURE_CLIENT_ID", row.value)
			t.Setenv("AZURE_TOKEN_CREDENTIALS", "prod")
			a := newAzure(t)
			a.host = a.vm
			opts := policy.TokenRequestOptions{Scopes: []string{newScope()}}
			require.Equal(t, managed+" "+row.own, a.try(t, newOwn, azidentity.DefaultAzureCredentialOptions{}, opts).Token)
			peer := a.try(t, newPeer, azidentity.DefaultAzureCredentialOptions{}, opts).Token
			require.Equal(t, row.peer, strings.TrimPrefix(peer, managed+" "))
		})
	}
}
