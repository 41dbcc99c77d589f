// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"os"
	"path"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// newAgent returns an agent that names each key file by its path on the host, as a container sees it.
func newAgent(t *testing.T) *azhosttest.Arc {
	agent := azhosttest.NewArc(t)
	agent.SetChallenge(func(keyPath string) []string {
		return []string{"Basic realm=/var/opt/azcmagent/tokens/" + path.Base(keyPath)}
	})
	return agent
}

func TestKeyIsReadFromMount(t *testing.T) {
	t.Parallel()
	agent := newAgent(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-keys", agent.KeyDirectory(), "-endpoint", agent.Endpoint()}))
	require.Equal(t, "a token for https://vault.azure.net, valid for 24h0m0s\n", out.String())
}

func TestMissingMount(t *testing.T) {
	t.Parallel()
	agent := newAgent(t)
	var out bytes.Buffer
	err := run(t.Context(), &out, []string{"-keys", t.TempDir(), "-endpoint", agent.Endpoint(), "-resource", "https://storage.azure.com"})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "no such file")
	require.Empty(t, out.String())
}
