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
	client, err := azblob.NewClient(service.Blob, cred, &azblob.ClientOptions{ClientOptions: service.Client})
	require.NoError(t, err)
	_, err = client.CreateContainer(t.Context(), "examples", nil)
	require.NoError(t, err)

	got, err := upAndDown(t.Context(), service.Blob, "examples", "a.txt", []byte("content"), vm.InMemory(), service.Client)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
	vm.RequireResource(t, "https://storage.azure.com")

	azurite.RequireChecks(t, func(machine *azhost.ManagedIdentityCredentialOptions) error {
		_, err := upAndDown(t.Context(), service.Blob, "examples", "b.txt", nil, machine, service.Client)
		return err
	})
}
