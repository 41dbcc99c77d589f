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

// newAgent returns an agent that names its key files as a container on Linux sees it: by the path
// that they have on the host.
func newAgent(t *testing.T) *azhosttest.Arc {
	agent := azhosttest.NewArc(t)
	agent.SetChallenge(func(keyPath string) []string {
		return []string{"Basic realm=/var/opt/azcmagent/tokens/" + path.Base(keyPath)}
	})
	return agent
}

func TestKeyIsReadWhereItIsMounted(t *testing.T) {
	t.Parallel()
	agent := newAgent(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-keys", agent.KeyDirectory(), "-endpoint", agent.Endpoint()}))
	require.Equal(t, "a token for https://vault.azure.net, valid for 24h0m0s\n", out.String())
}

func TestMountIsMissing(t *testing.T) {
	t.Parallel()
	agent := newAgent(t)
	var out bytes.Buffer
	err := run(t.Context(), &out, []string{"-keys", t.TempDir(), "-endpoint", agent.Endpoint(), "-resource", "https://storage.azure.com"})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "no such file")
	require.Empty(t, out.String())
}
