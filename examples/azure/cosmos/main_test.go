// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, `https://laptop.documents.azure.com/dbs/examples/colls/greetings/docs/greeting is "hello from Cosmos DB"`+"\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-container", "other"}), "404")
}

// The audience is the account, and the client's two pipelines share one token request.
func TestAudienceIsAccount(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Cosmos()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	read, err := writeAndRead(t.Context(), fake.URL, "examples", "greetings", item{"a", "text"}, fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, item{"a", "text"}, read)
	fake.VM.RequireResource(t, "https://laptop.documents.azure.com")
	fake.VM.RequireRequests(t, 1)
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Cosmos()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	_, err = writeAndRead(t.Context(), fake.URL, "examples", "greetings", item{"a", "text"}, azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "401")
}

func TestReadme(t *testing.T) {
	t.Parallel()
	readme.Run(t, "../README.md", "cosmos")
}
