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

// chunks records each write.
type chunks []string

func (c *chunks) Write(p []byte) (int, error) {
	*c = append(*c, string(p))
	return len(p), nil
}

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "hello from Azure OpenAI\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-deployment", "other"}), "DeploymentNotFound")
}

func TestStreaming(t *testing.T) {
	t.Parallel()
	fake, err := laptop.OpenAI()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	var out chunks
	require.NoError(t, chat(t.Context(), &out, fake.URL, laptop.Deployment, "Say hello.", fake.Machine, fake.Transport))
	require.Equal(t, chunks{"hello ", "from ", "Azure ", "OpenAI", ""}, out)
	fake.VM.RequireResource(t, "https://cognitiveservices.azure.com")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.OpenAI()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	var out bytes.Buffer
	err = chat(t.Context(), &out, fake.URL, laptop.Deployment, "Say hello.", azhosttest.NewVM(t).InMemory(), fake.Transport)
	require.ErrorContains(t, err, "Access token is missing, invalid")
	require.Empty(t, out.String())
}

func TestReadme(t *testing.T) {
	t.Parallel()
	readme.Run(t, "../README.md", "openai")
}
