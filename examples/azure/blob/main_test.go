// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/azurite"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, `https://devstoreaccount1.blob.core.windows.net/examples/test.txt is "This is a test text file."`+"\n", out.String())

	err := run(t.Context(), &out, []string{"-container", "other"})
	require.True(t, bloberror.HasCode(err, bloberror.ContainerNotFound), "%v", err)
}

func TestAzurite(t *testing.T) {
	t.Parallel()
	service := azurite.Start(t)
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	client, err := azblob.NewClient(service.Account, cred, &azblob.ClientOptions{ClientOptions: service.Client})
	require.NoError(t, err)
	_, err = client.CreateContainer(t.Context(), "examples", nil)
	require.NoError(t, err)

	got, err := upAndDown(t.Context(), service.Account, "examples", "a.txt", []byte("content"), vm.InMemory(), service.Client)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
	vm.RequireResource(t, "https://storage.azure.com")

	for _, row := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"wrong audience", map[string]any{"aud": "https://vault.azure.net"}, "Invalid token audience."},
		{"wrong issuer", map[string]any{"iss": "https://issuer.example/"}, "Invalid token issuer."},
		{"expired", map[string]any{"exp": 1}, "Lifetime validation failed. The token is expired."},
	} {
		t.Run(row.name, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.SetClaims(row.claims)
			_, err := upAndDown(t.Context(), service.Account, "examples", "b.txt", nil, vm.InMemory(), service.Client)
			require.ErrorContains(t, err, row.want)
		})
	}
}
