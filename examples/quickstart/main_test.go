// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestQuickstart(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Regexp(t, `^host       AzureArc, a fake at http://127\.0\.0\.1:\d+/\w+/metadata/identity/oauth2/token
resource   https://vault\.azure\.net
expires    \S+Z, in 24h0m0s
refreshed  from \S+Z, in the background
service    200 OK: hello, identity \S+ of tenant \S+
$`, out.String())
	require.NotContains(t, out.String(), "eyJ", "a token was printed")
}

// App Service stands for a real host, because environment variables lead to its fake.
func TestReal(t *testing.T) {
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-real"}))
	require.Contains(t, out.String(), "host       AppService\n")
	require.Contains(t, out.String(), "service    200 OK: hello, identity "+azhosttest.SystemAssigned().ObjectID)
	host.RequireRequests(t, 1)
}

func TestRealWithoutIdentity(t *testing.T) {
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	host.SetIdentities()
	var out bytes.Buffer
	err := run(t.Context(), &out, []string{"-real", "-resource", "https://storage.azure.com"})
	require.ErrorContains(t, err, "App Service")
	require.Empty(t, out.String())
}

func TestServiceChecksToken(t *testing.T) {
	l, err := newLaptop(false, "https://vault.azure.net")
	require.NoError(t, err)
	defer l.close()
	l.scope = "https://storage.azure.com/.default"
	resp, _, err := hello(t.Context(), l)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "401 Unauthorized", resp.Status)

	_, err = claims("opaque")
	require.ErrorContains(t, err, "isn't a JWT")
}
