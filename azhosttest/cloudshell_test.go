// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const formType = "application/x-www-form-urlencoded"

func TestCloudShellResponses(t *testing.T) {
	t.Parallel()
	const good = "resource=https%3A%2F%2Fr"
	for _, test := range []struct {
		name, method, body, metadata, media string
		identities                          []azhosttest.Identity
		status                              int
		code                                string
	}{
		{"a token", "POST", good, "true", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 200, ""},
		{"with a charset", "POST", good, "true", formType + "; charset=utf-8", []azhosttest.Identity{azhosttest.SystemAssigned()}, 200, ""},
		{"selectors are ignored", "POST", good + "&client_id=x", "true", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 200, ""},
		{"GET", "GET", "", "true", "", []azhosttest.Identity{azhosttest.SystemAssigned()}, 405, "MethodNotAllowed"},
		{"no Metadata header", "POST", good, "", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "BadRequest"},
		{"no content type", "POST", good, "true", "", []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "BadRequest"},
		{"JSON", "POST", `{"resource":"https://r"}`, "true", "application/json", []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "BadRequest"},
		{"no form", "POST", "%zz", "true", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "BadRequest"},
		{"no resource", "POST", "", "true", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "BadRequest"},
		{"another audience", "POST", good + "%2F", "true", formType, []azhosttest.Identity{azhosttest.SystemAssigned()}, 400, "AudienceNotSupported"},
		{"no user", "POST", good, "true", formType, []azhosttest.Identity{azhosttest.UserAssigned("a")}, 400, "BadRequest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shell := azhosttest.NewCloudShell(t)
			shell.SetIdentities(test.identities...)
			shell.AllowResources("https://r")
			for transport, client := range map[string]http.RoundTripper{"loopback": http.DefaultTransport, "memory": memory{shell}} {
				// Cloud Shell ignores the URL's query.
				req, err := http.NewRequestWithContext(t.Context(), test.method, shell.Endpoint()+"?resource=https://x", strings.NewReader(test.body))
				require.NoError(t, err)
				req.Header.Set("Metadata", test.metadata)
				req.Header.Set("Content-Type", test.media)
				resp, err := client.RoundTrip(req)
				require.NoError(t, err)
				var fields map[string]any
				require.NoError(t, json.NewDecoder(resp.Body).Decode(&fields))
				require.NoError(t, resp.Body.Close())
				require.Equal(t, test.status, resp.StatusCode, transport)
				if test.status != 200 {
					require.Equal(t, test.code, fields["error"].(map[string]any)["code"], transport)
					require.NotEmpty(t, fields["error"].(map[string]any)["message"], transport)
					continue
				}
				claims, err := shell.Verify(text(fields["access_token"]))
				require.NoError(t, err)
				require.Equal(t, "user", claims["idtyp"])
				require.Equal(t, "https://r", claims["aud"])
				require.NotEmpty(t, claims["upn"])
				require.NotContains(t, claims, "xms_mirid")
				for _, name := range []string{"expires_in", "expires_on", "not_before", "resource", "token_type"} {
					require.IsType(t, "", fields[name], name)
				}
				require.NotContains(t, fields, "client_id")
			}
			r := shell.Requests()[0]
			if values, err := url.ParseQuery(test.body); err == nil && test.media == formType {
				require.Equal(t, values, r.Form)
				require.Equal(t, values.Get("resource"), r.Resource)
			}
			require.Empty(t, r.Selector)
		})
	}
}

func TestCloudShellSetenv(t *testing.T) {
	t.Setenv("MSI_SECRET", "of another host")
	t.Setenv("DEFAULT_IDENTITY_CLIENT_ID", "of another host")
	t.Setenv("IDENTITY_HEADER", "of another host")
	shell := azhosttest.NewCloudShell(t)
	shell.Setenv(t)
	require.Equal(t, shell.Endpoint(), os.Getenv("MSI_ENDPOINT"))
	for _, name := range []string{"MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID", "IDENTITY_HEADER"} {
		require.Empty(t, os.Getenv(name), name)
	}
}

func TestCloudShellStoppedInMemory(t *testing.T) {
	t.Parallel()
	shell := azhosttest.NewCloudShell(t)
	shell.Stop()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, shell.InMemory().Endpoint, nil)
	require.NoError(t, err)
	_, err = shell.Do(req)
	var dial *net.OpError
	require.ErrorAs(t, err, &dial)
	require.Equal(t, "127.0.0.1:50342", dial.Addr.String())
}
