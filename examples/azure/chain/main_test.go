// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// These tests set PATH, where azidentity looks for az, so they can't run in parallel.

func TestLaptop(t *testing.T) {
	path := os.Getenv("PATH")
	t.Setenv("PATH", path)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "https://laptop.vault.azure.net/secrets/greeting is \"hello from Key Vault\"\n", out.String())
	require.Equal(t, path, os.Getenv("PATH"), "PATH still has the fake az")
}

func TestManagedIdentityFirst(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	cred, err := newChain(*vm.InMemory())
	require.NoError(t, err)
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.NoError(t, err)
	_, err = vm.Verify(token.Token)
	require.NoError(t, err)
}

func TestNoCredentialAvailable(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	machine := vm.Options()
	vm.Stop()
	cred, err := newChain(*machine)
	require.NoError(t, err)
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "executable not found on path")
}

// If a host rejects the request, the chain doesn't fall back to another identity.
func TestFailureStopsChain(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	vm.Fail(azhosttest.InvalidResource())
	cred, err := newChain(*vm.InMemory())
	require.NoError(t, err)
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "executable not found on path")
}
