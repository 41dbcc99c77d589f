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
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "TestFolder\nTestFolder/Test1.txt\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-filesystem", "pond"}), "FilesystemNotFound")
}

func TestFailures(t *testing.T) {
	t.Parallel()
	fake, err := laptop.DataLake()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	fileSystem := fake.URL + "/" + laptop.FileSystem

	_, err = uploadAndList(t.Context(), fileSystem, "a", nil, azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "InvalidAuthenticationInfo", "token from another VM")

	names, err := uploadAndList(t.Context(), fileSystem, "b", []byte("content"), fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, []string{"TestFolder", "b"}, names)
	fake.VM.RequireResource(t, "https://storage.azure.com")
}
