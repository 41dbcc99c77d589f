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
	require.Equal(t, "samples/hello:v1\nsamples/hello:v2\n", out.String())
}

func TestAudience(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Registry()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	tags, err := listTags(t.Context(), fake.URL, "samples/hello", fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, []string{"v1", "v2"}, tags)
	fake.VM.RequireResource(t, "https://containerregistry.azure.net")

	_, err = listTags(t.Context(), fake.URL, "samples/other", fake.Machine, fake.Client)
	require.ErrorContains(t, err, "NAME_UNKNOWN")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Registry()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	options := fake.Client
	options.Retry.MaxRetries = -1 // the client retries a failed exchange
	_, err = listTags(t.Context(), fake.URL, "samples/hello", azhosttest.NewVM(t).InMemory(), options)
	require.ErrorContains(t, err, "UNAUTHORIZED")
}
