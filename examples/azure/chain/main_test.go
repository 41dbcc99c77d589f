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

// The tests are not parallel: they set the PATH, on which azidentity looks for az.

func TestLaptop(t *testing.T) {
	path := os.Getenv("PATH")
	t.Setenv("PATH", path)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "https://laptop.vault.azure.net/secrets/greeting is \"hello from Key Vault\"\n", out.String())
	require.Equal(t, path, os.Getenv("PATH"), "the fake az is gone")
}

func TestMachineComesFirst(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	cred, err := newChain(*vm.InMemory())
	require.NoError(t, err)
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.NoError(t, err)
	_, err = vm.Verify(token.Token)
	require.NoError(t, err)
}

func TestNeitherIsThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	vm.Stop()
	cred, err := newChain(*vm.InMemory())
	require.NoError(t, err)
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "executable not found on path")
}

// A host that is there but refuses is no reason to go on as somebody else.
func TestFailureEndsTheChain(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no az
	vm := azhosttest.NewVM(t)
	vm.Fail(azhosttest.InvalidResource())
	cred, err := newChain(*vm.InMemory())
	require.NoError(t, err)
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "executable not found on path")
}
