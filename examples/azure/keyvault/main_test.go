// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ cloud, vault string }{
		{"public", "https://laptop.vault.azure.net"},
		{"usgov", "https://laptop.vault.usgovcloudapi.net"},
		{"china", "https://laptop.vault.azure.cn"},
	} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, []string{"-cloud", row.cloud}))
		require.Equal(t, row.vault+"/secrets/greeting is \"hello from Key Vault\"\n", out.String())
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		want string
		args []string
	}{
		{"SecretNotFound", []string{"-secret", "other"}},
		{"not public, usgov, or china", []string{"-cloud", "moon"}},
		{"is not in cloud usgov", []string{"-cloud", "usgov", "-vault", "https://v.vault.azure.net"}},
		{"is not in cloud public", []string{"-vault", "https://v.vault.azure.net.example"}},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), &out, row.args), row.want)
		require.Empty(t, out.String())
	}
}

// The client requests no token until the vault's challenge names the audience.
func TestAudienceFromChallenge(t *testing.T) {
	t.Parallel()
	fake, err := laptop.KeyVault(".vault.azure.cn")
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	value, err := readSecret(t.Context(), fake.URL, "greeting", fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, "hello from Key Vault", value)
	fake.VM.RequireRequests(t, 1)
	fake.VM.RequireResource(t, "https://vault.azure.cn")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.KeyVault(".vault.azure.net")
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	_, err = readSecret(t.Context(), fake.URL, "greeting", azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "401")
}
