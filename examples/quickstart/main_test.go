// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuickstart(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "fake", "https://vault.azure.net"))
	require.Regexp(t, `(?s)^No Azure host here \(.+\): starting a fake Arc agent on loopback\.
host       AzureArc: the fake agent at http://127\.0\.0\.1:\d+/\w+/metadata/identity/oauth2/token
resource   https://vault\.azure\.net
expires    \S+Z, in (24h0m0s|23h59m5\ds)
refreshed  from \S+Z
service    200 OK: hello, identity \S+ of tenant \S+
$`, out.String())
	require.NotContains(t, out.String(), "eyJ", "a token was printed")

	require.ErrorContains(t, run(t.Context(), &out, "moon", "r"), "none of auto, real, fake")
}
