// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestToken(t *testing.T) {
	agent := azhosttest.NewArc(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-keys", agent.KeyDirectory(), "-endpoint", agent.Endpoint()}))
	require.Equal(t, "a token for https://vault.azure.net, valid for 24h0m0s\n", out.String())
	agent.RequireResource(t, "https://vault.azure.net")
	agent.RequireRequests(t, 2)
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	require.ErrorIs(t, run(t.Context(), &out, []string{"-h"}), flag.ErrHelp)
	require.Contains(t, out.String(), "\n  -keys directory\n")
}

// The compose file is compared line by line, because the root module has no YAML parser.
func TestComposeFileMatchesProgram(t *testing.T) {
	text, err := os.ReadFile("compose.yaml")
	require.NoError(t, err)
	for _, line := range []string{
		`    network_mode: host`,
		`      - type: bind`,
		`        source: /var/opt/azcmagent/tokens`,
		`        target: ` + regexp.QuoteMeta(keys),
		`        read_only: true`, // the mount
		`    read_only: true`,     // the container
		`    group_add:`,
		`      - "\$\{HIMDS_GID:\?[^"$]+\}"`,
		`      context: \.\./\.\.`,
		`      dockerfile: examples/arc-container/Dockerfile`,
	} {
		require.Regexp(t, `(?m)^`+line+`( +#.*)?$`, string(text))
	}
	require.NotContains(t, string(text), "privileged: true")
	require.NotContains(t, string(text), "\t")

	docker, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(docker), " ./examples/arc-container\n")
	require.Regexp(t, `(?m)^USER [1-9]\d*:[1-9]\d*$`, string(docker))
}
