// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/federated/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestClouds(t *testing.T) {
	t.Parallel()
	for name := range clouds {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, []string{"-cloud", name}))
		require.Equal(t, "tenant 22222222-2222-2222-2222-222222222222 has subscription \"Development\"\n", out.String())
	}
	require.ErrorContains(t, run(t.Context(), new(bytes.Buffer), []string{"-cloud", "moon"}), "not public, usgov, or china")
	require.ErrorContains(t, run(t.Context(), new(bytes.Buffer), []string{"-tenant", "a", "-app", "b"}), "needs -app and -identity")
}

// start starts the fakes of the public cloud.
func start(t *testing.T) *laptop.Azure {
	t.Helper()
	c := clouds["public"]
	fake, err := laptop.Start(c.Configuration, c.audience)
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	return fake
}

const (
	audience = "api://AzureADTokenExchange"
	manager  = "https://management.core.windows.net//.default"
	vault    = "https://vault.azure.net/.default"
)

func TestOneAssertionServesSeveralTokens(t *testing.T) {
	t.Parallel()
	fake := start(t)
	cred, err := newCredential(laptop.Tenant, laptop.App, audience, *fake.Machine, azcore.ClientOptions{Transport: fake.Transport})
	require.NoError(t, err)
	for _, scope := range []string{manager, manager, vault} {
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		require.NoError(t, err)
	}
	fake.VM.RequireRequests(t, 1)
	fake.VM.RequireResource(t, audience)
}

func TestEntraRejects(t *testing.T) {
	t.Parallel()
	claim := func(name, value string) func(*laptop.Azure) {
		return func(a *laptop.Azure) { a.VM.SetClaims(map[string]any{name: value}) }
	}
	for name, row := range map[string]struct {
		tenant, app, audience string
		spoil                 func(*laptop.Azure)
		want                  string
	}{
		"another tenant":         {laptop.App, laptop.App, audience, nil, "AADSTS90002"},
		"another app":            {laptop.Tenant, laptop.Tenant, audience, nil, "AADSTS700016"},
		"another cloud":          {laptop.Tenant, laptop.App, audience + "China", nil, "assertion's aud"},
		"another issuer":         {laptop.Tenant, laptop.App, audience, claim("iss", "https://sts.windows.net/"), "assertion's iss"},
		"another identity":       {laptop.Tenant, laptop.App, audience, func(a *laptop.Azure) { a.Machine.ID = nil }, "assertion's sub"},
		"another VM's signature": {laptop.Tenant, laptop.App, audience, func(a *laptop.Azure) { a.Machine = azhosttest.NewVM(t).InMemory() }, "AADSTS700027"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := start(t)
			if row.spoil != nil {
				row.spoil(fake)
			}
			cred, err := newCredential(row.tenant, row.app, row.audience, *fake.Machine, azcore.ClientOptions{Transport: fake.Transport})
			require.NoError(t, err)
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{manager}})
			var failed *azidentity.AuthenticationFailedError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, http.StatusBadRequest, failed.RawResponse.StatusCode)
			require.ErrorContains(t, err, row.want)
		})
	}
}

// next is the credential after the app's in a chain.
type next struct{}

func (next) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "next"}, nil
}

func TestChainContinuesOffAzure(t *testing.T) {
	t.Parallel()
	fake := start(t)
	fake.VM.Stop()
	cred, err := newCredential(laptop.Tenant, laptop.App, audience, *fake.Machine, azcore.ClientOptions{Transport: fake.Transport})
	require.NoError(t, err)
	opts := policy.TokenRequestOptions{Scopes: []string{manager}}
	_, err = cred.GetToken(t.Context(), opts)
	require.ErrorContains(t, err, "connection refused")
	require.ErrorAs(t, err, new(*azhost.CredentialUnavailableError))

	chain, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cred, next{}}, nil)
	require.NoError(t, err)
	token, err := chain.GetToken(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, "next", token.Token)
}
